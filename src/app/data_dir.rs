//! The data directory: its lock, and the cookie key if none is configured.

use std::{
    fs::{self, DirBuilder, File},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use secrecy::SecretString;
use skriptoteket_actix::application::key_file::{lock_file, read_or_create};

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

    /// Returns the key in `cookie.key`; see [`read_or_create`].
    pub(super) fn cookie_key(&self) -> anyhow::Result<SecretString> {
        Ok(read_or_create(&self.path.join("cookie.key"))?)
    }
}

#[cfg(test)]
mod tests {
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
}
