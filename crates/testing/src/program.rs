//! The program as a command.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

/// Returns the path of the program, as this run of Cargo has built it.
pub fn program() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
        // Cargo sets it for the tests and the benchmarks that it runs.
        let built = std::env::var_os("CARGO_BIN_EXE_skriptoteket");
        built.map_or_else(beside_this_test, PathBuf::from)
    });
    &PROGRAM
}

/// Returns the program in the directory above that of the test binary, where Cargo puts it.
fn beside_this_test() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("skriptoteket");
    assert!(
        program.is_file(),
        "there is no program at {}: `cargo build` builds it",
        program.display()
    );
    program
}

/// Returns a command of the program that runs in `dir`, with its data in `dir/data`, and without the environment of the
/// tests.
pub fn command_in(dir: &Path) -> Command {
    let mut command = Command::new(program());
    command
        .current_dir(dir)
        .env_clear()
        .env("SKRIPTOTEKET_DATA_DIR", dir.join("data"));
    command
}
