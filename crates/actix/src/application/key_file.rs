//! The file of the cookie key, which is created at the first start.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use secrecy::SecretString;

/// Minimum length of a key.
pub const LEAST_KEY_BYTES: usize = 32;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file contains a key that is too short.
    #[error(
        "{}: the cookie key is shorter than {LEAST_KEY_BYTES} bytes; remove the file to generate a new one \
         (this logs out all users)",
        .path.display()
    )]
    Short {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read, created or written.
    #[error("{}: the cookie key cannot be {action}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// `read`, `created` or `written`.
        action: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// Returns the key in the file at `path`, which is created (mode 0600) if it is missing. If several processes start at
/// once, one of them creates the key and all of them use it.
///
/// # Errors
///
/// [`KeyFileError`]; it never shows the key.
pub fn read_or_create(path: &Path) -> Result<SecretString, KeyFileError> {
    if let Some(key) = read(path)? {
        return Ok(key);
    }
    let failed = |action| {
        move |source| KeyFileError::Io {
            path: path.to_owned(),
            action,
            source,
        }
    };
    let only_one = || -> io::Result<File> {
        let file = lock_file(&path.with_extension("lock"))?;
        file.lock()?;
        Ok(file)
    };
    let _held = only_one().map_err(failed("created"))?;
    match read(path)? {
        Some(key) => Ok(key),
        None => create(path).map_err(failed("written")),
    }
}

/// Opens a lock file and creates it (mode 0600) if it is missing.
///
/// # Errors
///
/// Those of the operating system.
pub fn lock_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

fn read(path: &Path) -> Result<Option<SecretString>, KeyFileError> {
    match fs::read_to_string(path) {
        Ok(key) if key.trim().len() >= LEAST_KEY_BYTES => Ok(Some(key.trim().into())),
        Ok(_) => Err(KeyFileError::Short {
            path: path.to_owned(),
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(KeyFileError::Io {
            path: path.to_owned(),
            action: "read",
            source,
        }),
    }
}

/// Writes the key to a temporary file and renames it, so that a crash leaves a whole key or none, and no process reads
/// half a key.
fn create(path: &Path) -> io::Result<SecretString> {
    let random: [u8; 64] = rand::random();
    let key = BASE64_STANDARD_NO_PAD.encode(random);
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(key.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    Ok(key.into())
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Barrier, thread};

    use secrecy::ExposeSecret;

    use super::*;

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
                            let key = read_or_create(&dir.path().join("cookie.key")).unwrap();
                            key.expose_secret().to_owned()
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
        let path = dir.path().join("cookie.key");
        let first = read_or_create(&path).unwrap();
        let second = read_or_create(&path).unwrap();
        assert_eq!(first.expose_secret(), second.expose_secret());
        assert!(first.expose_secret().len() >= 64);
    }

    #[test]
    fn a_cut_key_is_an_error_that_does_not_show_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cookie.key");
        fs::write(&path, "shorty").unwrap();
        let error = read_or_create(&path).unwrap_err().to_string();
        assert!(
            error.contains("shorter") && !error.contains("shorty"),
            "{error}"
        );
    }
}
