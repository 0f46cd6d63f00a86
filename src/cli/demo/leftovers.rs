//! The temporary directory of the demo's own service, and the directories that killed demos left behind.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::Context;
use tempfile::TempDir;

/// The start of the directory names.
const BEGINNING: &str = "skriptoteket-demo-";

/// The file that marks a directory as a demo's. The demo that uses the directory holds a lock on the file, which the
/// system releases when the process ends in any way.
const MARK: &str = "demo.mark";

/// The content of the file, which identifies it.
const TEXT: &str = "Made by `skriptoteket demo`, which deletes this directory at its end.\n";

/// A directory that is deleted with its content when this is dropped.
#[derive(Debug)]
pub(super) struct Home {
    dir: TempDir,
    _mark: File,
}

impl Home {
    /// Creates a directory for this user only.
    ///
    /// # Errors
    ///
    /// If it cannot be created.
    pub(super) fn make() -> anyhow::Result<Self> {
        Self::make_in(&tempfile::env::temp_dir())
    }

    fn make_in(parent: &Path) -> anyhow::Result<Self> {
        let made = || -> io::Result<Self> {
            let dir = tempfile::Builder::new()
                .prefix(BEGINNING)
                .tempdir_in(parent)?;
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).mode(0o600);
            let mut mark = options.open(dir.path().join(MARK))?;
            // Until the text is written, no other demo may delete the directory.
            mark.lock()?;
            mark.write_all(TEXT.as_bytes())?;
            Ok(Self { dir, _mark: mark })
        };
        made().with_context(|| {
            format!(
                "cannot create a temporary directory in {}; set TMPDIR to another directory",
                parent.display()
            )
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Deletes the directory.
    ///
    /// # Errors
    ///
    /// If something is left behind.
    pub(super) fn delete(self) -> anyhow::Result<()> {
        let path = self.path().to_owned();
        let deleted = self.dir.close();
        deleted.with_context(|| format!("{} was not deleted completely; delete it", path.display()))
    }
}

/// Deletes the directories of killed demos. Returns their paths.
///
/// # Errors
///
/// If they cannot be listed, or one cannot be deleted.
pub(super) fn delete_abandoned() -> anyhow::Result<Vec<PathBuf>> {
    delete_abandoned_in(&tempfile::env::temp_dir())
}

fn delete_abandoned_in(parent: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let cannot = |path: &Path| format!("{} cannot be listed", path.display());
    let mut deleted = Vec::new();
    for entry in fs::read_dir(parent).with_context(|| cannot(parent))? {
        let entry = entry.with_context(|| cannot(parent))?;
        let is_named_so = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(BEGINNING));
        let path = entry.path();
        // The lock is held until the directory has been deleted.
        let Some(_mark) = is_named_so.then(|| abandoned(&path)).flatten() else {
            continue;
        };
        fs::remove_dir_all(&path)
            .with_context(|| format!("{} cannot be deleted", path.display()))?;
        deleted.push(path);
    }
    deleted.sort();
    Ok(deleted)
}

/// Returns the lock of a demo's directory that belongs to this user and that no process uses. An unreadable directory
/// counts as not a demo's.
fn abandoned(path: &Path) -> Option<File> {
    let user = rustix::process::geteuid().as_raw();
    let directory = fs::symlink_metadata(path).ok()?;
    if !directory.is_dir() || directory.uid() != user {
        return None;
    }
    let mark = path.join(MARK);
    if !fs::symlink_metadata(&mark).ok()?.is_file() {
        return None;
    }
    let mut mark = File::open(mark).ok()?;
    if let Err(TryLockError::WouldBlock | TryLockError::Error(_)) = mark.try_lock() {
        return None;
    }
    let mut text = String::new();
    mark.read_to_string(&mut text).ok()?;
    (text == TEXT).then_some(mark)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_directories_of_demos_that_have_ended_are_deleted() {
        let parent = tempfile::tempdir().unwrap();
        let named = |name: &str| parent.path().join(format!("{BEGINNING}{name}"));
        let abandoned = named("abandoned");
        let (unmarked, other) = (named("unmarked"), named("other"));
        for path in [&abandoned, &unmarked, &other] {
            fs::create_dir(path).unwrap();
            fs::write(path.join("file"), "").unwrap();
        }
        fs::write(abandoned.join(MARK), TEXT).unwrap();
        fs::write(other.join(MARK), "something else").unwrap();
        symlink(&other, named("link")).unwrap();
        let renamed = parent.path().join("renamed");
        fs::create_dir(&renamed).unwrap();
        fs::write(renamed.join(MARK), TEXT).unwrap();
        let running = Home::make_in(parent.path()).unwrap();

        let deleted = delete_abandoned_in(parent.path()).unwrap();
        assert_eq!(deleted, [abandoned]);
        assert_eq!(
            delete_abandoned_in(parent.path()).unwrap(),
            [""; 0].map(PathBuf::from)
        );
        for path in [running.path(), &unmarked, &other, &renamed] {
            assert!(path.exists(), "{}", path.display());
        }
        running.delete().unwrap();
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 4);
    }
}
