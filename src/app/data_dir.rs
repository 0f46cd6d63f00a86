//! The data directory: its lock, and the cookie key if none is configured.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::Context;
use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use secrecy::SecretString;

/// Minimum length of a key.
const LEAST_KEY_BYTES: usize = 32;

/// How a server uses a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tenancy {
    /// Exclusively: sessions are in the embedded store. Two servers would each export its totals and cache its
    /// sessions.
    Alone,
    /// Together with other servers that keep sessions in the same Redis.
    Shared,
}

/// A data directory locked by this process.
///
/// CLI commands do not take the lock; they may run beside a server.
#[derive(Debug)]
pub(super) struct DataDir {
    path: PathBuf,
    /// Holds the lock while it is open; the operating system releases it even after `kill -9`.
    _lock: File,
}

impl DataDir {
    /// Creates the directory (mode 0700) if it is missing, and locks it.
    pub(super) fn lock(path: &Path, tenancy: Tenancy) -> anyhow::Result<Self> {
        let describe = || format!("data_dir = {}", path.display());
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("{}: the directory cannot be created", describe()))?;
        let file = lock_file(&path.join("server.lock"))
            .with_context(|| format!("{}: the directory cannot be written", describe()))?;
        let locked = match tenancy {
            Tenancy::Alone => file.try_lock(),
            Tenancy::Shared => file.try_lock_shared(),
        };
        match (locked, tenancy) {
            (Ok(()), _) => Ok(Self {
                path: path.to_owned(),
                _lock: file,
            }),
            (Err(fs::TryLockError::WouldBlock), Tenancy::Alone) => anyhow::bail!(
                "{}: another server is running on this directory; stop it, or choose another data_dir \
                 (only servers that all have a redis_url can share one)",
                describe()
            ),
            (Err(fs::TryLockError::WouldBlock), Tenancy::Shared) => anyhow::bail!(
                "{}: a server without redis_url is running on this directory; stop it, or give it the same redis_url",
                describe()
            ),
            (Err(fs::TryLockError::Error(error)), _) => Err(error)
                .with_context(|| format!("{}: the directory cannot be locked", describe())),
        }
    }

    /// Returns the key in `cookie.key`, which is created at the first start. If several servers start at once, one of
    /// them creates the key and all of them use it.
    pub(super) fn cookie_key(&self) -> anyhow::Result<SecretString> {
        let path = self.path.join("cookie.key");
        if let Some(key) = read_key(&path)? {
            return Ok(key);
        }
        let only_one = || -> std::io::Result<File> {
            let file = lock_file(&path.with_extension("lock"))?;
            file.lock()?;
            Ok(file)
        };
        let _held = only_one()
            .with_context(|| format!("{}: the cookie key cannot be created", path.display()))?;
        match read_key(&path)? {
            Some(key) => Ok(key),
            None => make_key(&path),
        }
    }
}

/// Opens a lock file and creates it if it is missing.
fn lock_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

fn read_key(path: &Path) -> anyhow::Result<Option<SecretString>> {
    match fs::read_to_string(path) {
        Ok(key) if key.trim().len() >= LEAST_KEY_BYTES => Ok(Some(key.trim().into())),
        Ok(_) => anyhow::bail!(
            "{}: the cookie key is shorter than {LEAST_KEY_BYTES} bytes; remove the file to generate a new one \
             (this logs out all users)",
            path.display()
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(error).with_context(|| format!("{}: the cookie key cannot be read", path.display()))
        }
    }
}

/// Writes the key to a temporary file and renames it, so that a crash leaves a whole key or none, and no process reads
/// half a key.
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
    use std::{collections::BTreeSet, sync::Barrier, thread};

    use secrecy::ExposeSecret;

    use super::*;

    use Tenancy::{Alone, Shared};

    #[test]
    fn a_second_server_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::lock(dir.path(), Alone).unwrap();
        let refused = DataDir::lock(dir.path(), Alone).unwrap_err().to_string();
        assert!(refused.contains("another server"), "{refused}");
        let refused = DataDir::lock(dir.path(), Shared).unwrap_err().to_string();
        assert!(
            refused.contains("a server without redis_url is running"),
            "{refused}"
        );
        drop(first);
        DataDir::lock(dir.path(), Alone).unwrap();
    }

    #[test]
    fn servers_that_share_sessions_share_the_directory_with_their_like_only() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::lock(dir.path(), Shared).unwrap();
        let second = DataDir::lock(dir.path(), Shared).unwrap();
        drop(first);
        let refused = DataDir::lock(dir.path(), Alone).unwrap_err().to_string();
        assert!(refused.contains("all have a redis_url"), "{refused}");
        drop(second);
        DataDir::lock(dir.path(), Alone).unwrap();
    }

    #[test]
    fn of_many_who_start_at_once_all_have_the_same_key() {
        for _ in 0..20 {
            let dir = tempfile::tempdir().unwrap();
            let barrier = Barrier::new(8);
            let keys: BTreeSet<String> = thread::scope(|scope| {
                let starts: Vec<_> = (0..8)
                    .map(|_| {
                        scope.spawn(|| {
                            barrier.wait();
                            let held = DataDir::lock(dir.path(), Shared).unwrap();
                            held.cookie_key().unwrap().expose_secret().to_owned()
                        })
                    })
                    .collect();
                let keys = starts.into_iter().map(|it| it.join().unwrap());
                keys.collect()
            });
            assert_eq!(keys.len(), 1);
        }
    }

    #[test]
    fn the_key_is_made_once_and_then_kept() {
        let dir = tempfile::tempdir().unwrap();
        let held = DataDir::lock(&dir.path().join("deep/er"), Alone).unwrap();
        let first = held.cookie_key().unwrap();
        let second = held.cookie_key().unwrap();
        assert_eq!(first.expose_secret(), second.expose_secret());
        assert!(first.expose_secret().len() >= 64);
    }

    #[test]
    fn a_cut_key_is_an_error_that_does_not_show_it() {
        let dir = tempfile::tempdir().unwrap();
        let held = DataDir::lock(dir.path(), Alone).unwrap();
        fs::write(dir.path().join("cookie.key"), "shorty").unwrap();
        let error = format!("{:#}", held.cookie_key().unwrap_err());
        assert!(
            error.contains("shorter") && !error.contains("shorty"),
            "{error}"
        );
    }
}
