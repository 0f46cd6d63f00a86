//! The ledger of exported totals, in a file next to the database.
//!
//! The ledger is not a table of the database, because the database itself may be restored to an earlier state. The file
//! has two slots that are written in turn, each with a revision and a digest: a process that dies during a write leaves
//! the other slot intact.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use skriptoteket_core::error::StoreError;
use skriptoteket_sessions::{Ledger, LedgerRepository, SavedLedger};

/// Offset of the second slot, and maximum size of a slot.
const SLOT: usize = 1 << 20;
/// Size of revision, length and digest.
const HEAD: usize = 8 + 8 + 32;

/// Pause between two attempts to lock the file; a process holds the lock for about a millisecond.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// The ledger file, as used by one process.
#[derive(Clone, Debug)]
pub struct LedgerFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    place: String,
    timeout: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    file: Option<File>,
    /// This process has written the ledger of its location.
    has_begun: bool,
}

/// The content of the file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    /// The session location of the process that started last.
    place: String,
    /// Ledgers by session location: the current one and the previous one, for processes that still use it.
    ledgers: BTreeMap<String, Ledger>,
}

impl LedgerFile {
    /// The ledger of the database at `database`, for sessions in the location `place`. The file is created by the first
    /// write.
    #[must_use]
    pub fn new(database: &Path, place: String, timeout: Duration) -> Self {
        let mut path = database.as_os_str().to_owned();
        path.push(".session-totals");
        Self(Arc::new(Inner {
            path: path.into(),
            place,
            timeout,
            state: Mutex::default(),
        }))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner, &mut State) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || {
            let mut state = inner.state.lock().unwrap_or_else(PoisonError::into_inner);
            work(&inner, &mut state)
        });
        let done = done.await.map_err(io::Error::other).and_then(|done| done);
        done.map_err(|error| StoreError::Unavailable(error.into()))
    }
}

impl Inner {
    fn open<'s>(&self, state: &'s mut State, make: bool) -> io::Result<&'s File> {
        let file = match state.file.take() {
            Some(file) => file,
            None => OpenOptions::new()
                .read(true)
                .write(true)
                .create(make)
                .truncate(false)
                .mode(0o600)
                .open(&self.path)?,
        };
        Ok(state.file.insert(file))
    }

    /// Locks the file. The operating system releases the lock even after `kill -9`.
    fn lock(&self, file: &File) -> io::Result<()> {
        let tries = self.timeout.as_millis() / LOCK_PAUSE.as_millis();
        for _ in 0..tries.max(1) {
            match file.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    fn load(&self, state: &mut State) -> io::Result<SavedLedger> {
        let has_begun = state.has_begun;
        // A read-only command creates no file: it may run as another user than the service.
        let (revision, mut content) = match self.open(state, false) {
            Ok(file) => newest(file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(SavedLedger::default());
            }
            Err(error) => return Err(error),
        };
        let own = content.ledgers.remove(&self.place);
        let ledger = if has_begun || content.place == self.place {
            own
        } else {
            // The sessions have moved from another location, or the location was renamed: the exported totals continue.
            content.ledgers.remove(&content.place).or(own)
        };
        Ok(SavedLedger {
            revision,
            ledger: ledger.unwrap_or_default(),
        })
    }

    fn save(&self, state: &mut State, read: u64, ledger: &Ledger) -> io::Result<Option<u64>> {
        let has_begun = state.has_begun;
        let file = self.open(state, true)?;
        self.lock(file)?;
        let written = self.save_locked(file, has_begun, read, ledger);
        file.unlock()?;
        let written = written?;
        state.has_begun |= written.is_some();
        Ok(written)
    }

    fn save_locked(
        &self,
        file: &File,
        has_begun: bool,
        read: u64,
        ledger: &Ledger,
    ) -> io::Result<Option<u64>> {
        let (revision, mut content) = newest(file)?;
        if revision != read {
            return Ok(None);
        }
        if !has_begun && content.place != self.place {
            let before = std::mem::replace(&mut content.place, self.place.clone());
            content.ledgers.retain(|place, _| *place == before);
        }
        content.ledgers.insert(self.place.clone(), ledger.clone());
        let revision = revision + 1;
        write(file, revision, &content)?;
        Ok(Some(revision))
    }
}

/// Returns the content that was written last, and its revision; an empty content and 0 if there is none.
fn newest(file: &File) -> io::Result<(u64, Content)> {
    let slots = [slot(file, 0)?, slot(file, 1)?];
    let newest = slots
        .into_iter()
        .flatten()
        .max_by_key(|(revision, _)| *revision);
    let Some((revision, text)) = newest else {
        return Ok((0, Content::default()));
    };
    Ok((revision, serde_json::from_slice(&text)?))
}

/// Returns the revision and the text of a slot, if it was written completely.
fn slot(file: &File, number: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
    let at = number * SLOT as u64;
    let mut head = [0; HEAD];
    match file.read_exact_at(&mut head, at) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let number = |from: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&head[from..from + 8]);
        u64::from_le_bytes(bytes)
    };
    let (revision, length) = (number(0), usize::try_from(number(8)).unwrap_or(SLOT));
    if length == 0 || length > SLOT - HEAD {
        return Ok(None);
    }
    let mut text = vec![0; length];
    match file.read_exact_at(&mut text, at + HEAD as u64) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let is_whole = digest(&head[..16], &text) == head[16..];
    Ok(is_whole.then_some((revision, text)))
}

fn write(file: &File, revision: u64, content: &Content) -> io::Result<()> {
    let text = serde_json::to_vec(content)?;
    if text.len() > SLOT - HEAD {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut slot = Vec::with_capacity(HEAD + text.len());
    slot.extend(revision.to_le_bytes());
    slot.extend((text.len() as u64).to_le_bytes());
    let digest = digest(&slot, &text);
    slot.extend(digest);
    slot.extend(&text);
    file.write_all_at(&slot, revision % 2 * SLOT as u64)
}

fn digest(head: &[u8], text: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update(head)
        .chain_update(text)
        .finalize()
        .into()
}

#[async_trait]
impl LedgerRepository for LedgerFile {
    async fn load(&self) -> Result<SavedLedger, StoreError> {
        self.blocking(Inner::load).await
    }

    async fn save(&self, read: u64, ledger: &Ledger) -> Result<Option<u64>, StoreError> {
        let ledger = ledger.clone();
        let save = move |inner: &Inner, state: &mut State| inner.save(state, read, &ledger);
        self.blocking(save).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skriptoteket_sessions::{PartTotals, Totals};

    fn counted(ledger: &mut Ledger, started: u64) {
        let totals = Totals {
            started: [started, 0, 0, 0],
            ..Totals::default()
        };
        let part = PartTotals {
            totals,
            ..PartTotals::default()
        };
        ledger.enter(&[("all".to_owned(), part)]);
    }

    async fn save(file: &LedgerFile, started: u64) -> SavedLedger {
        let SavedLedger {
            revision,
            mut ledger,
        } = file.load().await.unwrap();
        counted(&mut ledger, started);
        let revision = file.save(revision, &ledger).await.unwrap().unwrap();
        SavedLedger { revision, ledger }
    }

    fn open(directory: &tempfile::TempDir, place: &str) -> LedgerFile {
        let timeout = Duration::from_millis(200);
        LedgerFile::new(&directory.path().join("a.db"), place.to_owned(), timeout)
    }

    #[tokio::test]
    async fn what_was_saved_is_loaded_by_all_and_saved_by_one_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let (one, other) = (open(&directory, "here"), open(&directory, "here"));
        assert_eq!(one.load().await.unwrap(), SavedLedger::default());
        let first = save(&one, 1).await;
        assert_eq!(other.load().await.unwrap(), first);
        let second = save(&other, 2).await;
        assert_eq!(one.save(first.revision, &first.ledger).await.unwrap(), None);
        assert_eq!(one.load().await.unwrap(), second);
    }

    #[tokio::test]
    async fn what_was_half_written_is_as_if_it_had_not_been() {
        let directory = tempfile::tempdir().unwrap();
        let file = open(&directory, "here");
        let first = save(&file, 1).await;
        let second = save(&file, 2).await;
        let path = directory.path().join("a.db.session-totals");
        let raw = OpenOptions::new().write(true).open(path).unwrap();
        let at = second.revision % 2 * SLOT as u64 + HEAD as u64 + 3;
        raw.write_all_at(b"?", at).unwrap();
        assert_eq!(file.load().await.unwrap(), first);
        assert_eq!(save(&file, 3).await.revision, second.revision);
    }

    #[tokio::test]
    async fn in_another_place_the_exported_totals_go_on() {
        let directory = tempfile::tempdir().unwrap();
        let (here, there) = (open(&directory, "here"), open(&directory, "there"));
        let before = save(&here, 7).await;
        assert_eq!(there.load().await.unwrap(), before);
        let moved = save(&there, 9).await;
        // A process that still uses the old location has its own ledger.
        assert_eq!(here.load().await.unwrap().ledger, before.ledger);
        // A process that starts there continues from the last exported totals.
        assert_eq!(open(&directory, "here").load().await.unwrap(), moved);
    }

    #[tokio::test]
    async fn a_file_that_somebody_holds_is_waited_for_in_vain_once() {
        let directory = tempfile::tempdir().unwrap();
        let file = open(&directory, "here");
        let first = save(&file, 1).await;
        let path = directory.path().join("a.db.session-totals");
        let raw = OpenOptions::new().write(true).open(path).unwrap();
        raw.lock().unwrap();
        let refused = file.save(first.revision, &first.ledger).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))));
        raw.unlock().unwrap();
        save(&file, 2).await;
    }
}
