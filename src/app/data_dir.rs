//! The data directory: one server at a time, and the cookie key where none is configured.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::Context;
use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use secrecy::SecretString;

/// Fewer bytes are no key.
const LEAST_KEY_BYTES: usize = 32;

/// A data directory that this process holds.
///
/// Two servers on one embedded store would each export its totals and cache its sessions: the second one is refused.
/// The commands of the CLI do not take the lock; they may run beside a server.
#[derive(Debug)]
pub(super) struct DataDir {
    path: PathBuf,
    /// Locked as long as it is open; the system lets go of it even after `kill -9`.
    _lock: File,
}

impl DataDir {
    /// Makes the directory (mode 0700) where it is missing, and takes its lock.
    pub(super) fn lock(path: &Path) -> anyhow::Result<Self> {
        let describe = || format!("data_dir = {}", path.display());
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("{}: the directory cannot be made", describe()))?;
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("server.lock"))
            .with_context(|| format!("{}: the directory cannot be written", describe()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: file,
            }),
            Err(fs::TryLockError::WouldBlock) => anyhow::bail!(
                "{}: another server is running on this directory; stop it, or choose another data_dir",
                describe()
            ),
            Err(fs::TryLockError::Error(error)) => Err(error)
                .with_context(|| format!("{}: the directory cannot be locked", describe())),
        }
    }

    /// The key in `cookie.key`, made at the first start.
    pub(super) fn cookie_key(&self) -> anyhow::Result<SecretString> {
        let path = self.path.join("cookie.key");
        match fs::read_to_string(&path) {
            Ok(key) if key.trim().len() >= LEAST_KEY_BYTES => Ok(key.trim().into()),
            Ok(_) => anyhow::bail!(
                "{}: the cookie key is shorter than {LEAST_KEY_BYTES} bytes; remove the file to have a new one made \
                 (everybody is logged out then)",
                path.display()
            ),
            Err(error) if error.kind() == ErrorKind::NotFound => make_key(&path),
            Err(error) => Err(error)
                .with_context(|| format!("{}: the cookie key cannot be read", path.display())),
        }
    }
}

/// Written beside and renamed, so that a crash leaves a whole key or none.
fn make_key(path: &Path) -> anyhow::Result<SecretString> {
    let random: [u8; 64] = rand::random();
    let key = BASE64_STANDARD_NO_PAD.encode(random);
    let beside = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(key.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().with_context(|| format!("{}: the cookie key cannot be written", path.display()))?;
    Ok(key.into())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_second_server_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::lock(dir.path()).unwrap();
        let refused = DataDir::lock(dir.path()).unwrap_err().to_string();
        assert!(refused.contains("another server"), "{refused}");
        drop(first);
        DataDir::lock(dir.path()).unwrap();
    }

    #[test]
    fn the_key_is_made_once_and_then_kept() {
        let dir = tempfile::tempdir().unwrap();
        let held = DataDir::lock(&dir.path().join("deep/er")).unwrap();
        let first = held.cookie_key().unwrap();
        let second = held.cookie_key().unwrap();
        assert_eq!(first.expose_secret(), second.expose_secret());
        assert!(first.expose_secret().len() >= 64);
    }

    #[test]
    fn a_cut_key_is_an_error_that_does_not_show_it() {
        let dir = tempfile::tempdir().unwrap();
        let held = DataDir::lock(dir.path()).unwrap();
        fs::write(dir.path().join("cookie.key"), "shorty").unwrap();
        let error = format!("{:#}", held.cookie_key().unwrap_err());
        assert!(
            error.contains("shorter") && !error.contains("shorty"),
            "{error}"
        );
    }
}
