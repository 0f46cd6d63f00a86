//! Files of this repository that tests read or run, and the content of directories.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Returns the path of a file or a directory, given from the root of the repository.
pub fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap()
        .join(path)
}

/// Returns the text of a file.
pub fn read(file: &str) -> String {
    let path = in_repository(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the sorted names of the entries of a directory.
pub fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let names = entries.map(|it| it.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}
