//! Tests that would disturb others in the same process, or at the same time.

use std::process::{Command, Stdio};

use tokio::sync::{Mutex, MutexGuard};

use crate::process::spawn_for_life;

/// The variable that tells the second process which test it runs.
const ALONE: &str = "SKRIPTOTEKET_TEST_ALONE";

/// Runs a test in a process of its own, because it changes what belongs to the whole process: the global subscriber of
/// `tracing`, or signal handlers.
///
/// The test calls it first, with its `module_path!()` and its name, and returns if the result is `true`: then it has
/// passed in a second process of the same binary. There the result is `false`, and the test continues.
#[must_use]
pub fn passed_in_own_process(module: &str, test: &str) -> bool {
    let (_binary, module) = module.split_once("::").unwrap();
    let name = format!("{module}::{test}");
    if std::env::var_os(ALONE).is_some_and(|it| it == *name) {
        return false;
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--nocapture"])
        .env(ALONE, &name)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = spawn_for_life(command).wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    // Indented, so that its result is not mistaken for that of this process.
    let said = String::from_utf8_lossy(&said).replace('\n', "\n  | ");
    assert!(output.status.success(), "{}:\n{said}", output.status);
    assert!(said.contains(" 1 passed"), "{name} was not run:\n{said}");
    true
}

/// Waits until no other test has the machine for itself, and has it until the guard is dropped. Tests that measure how
/// a service keeps up take turns with it: on a small machine two at once would measure each other.
pub async fn have_the_machine() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}
