//! Counts the store and enters the count in the ledger of exported totals.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{Census, Count, LedgerRepository, Reconciled, SavedLedger, SessionRepository};
use crate::error::StoreError;

/// How often is counted again because another replica has entered a count meanwhile. Two that observe for a moment enter
/// a few counts in a second at most.
const TRIES: usize = 4;

/// Counts one store into one ledger.
#[derive(Debug)]
pub(super) struct Bookkeeper {
    sessions: Arc<dyn SessionRepository>,
    ledger: Arc<dyn LedgerRepository>,
    timeout: Duration,
    kept: Mutex<Kept>,
}

/// What this process entered last.
#[derive(Debug, Default)]
struct Kept {
    last: SavedLedger,
    /// It could not be written. It stands until another process writes.
    is_unsaved: bool,
}

impl Bookkeeper {
    pub(super) fn new(
        sessions: Arc<dyn SessionRepository>,
        ledger: Arc<dyn LedgerRepository>,
        timeout: Duration,
    ) -> Self {
        Self {
            sessions,
            ledger,
            timeout,
            kept: Mutex::default(),
        }
    }

    /// Counts, and returns the census with the totals that are to be exported.
    ///
    /// The ledger is read before the store is counted, and written only if nobody else has done so since. So a count that
    /// is behind what it was entered after means that the store was put back: never that this count is the older one.
    ///
    /// A ledger that cannot be read or written is no reason to show nothing: the totals go on in memory.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the store.
    pub(super) async fn count(&self) -> Result<Census, StoreError> {
        let mut tries = TRIES;
        loop {
            tries -= 1;
            let (before, readable) = self.before().await;
            let Count { mut census, parts } = self.in_time(self.sessions.count()).await?;
            let mut ledger = before.ledger.clone();
            let reconciled = ledger.enter(&parts);
            census.totals = ledger.totals;
            let was_changed = ledger != before.ledger;
            let mut last = SavedLedger {
                revision: before.revision,
                ledger,
            };
            let mut is_saved = readable && !(was_changed || self.is_unsaved());
            if readable && !is_saved {
                let save = self.ledger.save(before.revision, &last.ledger);
                match self.in_time(save).await {
                    Ok(Some(revision)) => {
                        last.revision = revision;
                        is_saved = true;
                    }
                    Ok(None) if tries > 0 => continue,
                    // The others are ahead. What they export is right.
                    Ok(None) => {}
                    Err(error) => self.complain(&error),
                }
            }
            self.keep(last, !is_saved);
            tell(reconciled);
            return Ok(census);
        }
    }

    /// The ledger as it is to go on from, and whether it could be read.
    async fn before(&self) -> (SavedLedger, bool) {
        let loaded = self.in_time(self.ledger.load()).await;
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match loaded {
            Ok(loaded) if !kept.is_unsaved || loaded.revision != kept.last.revision => {
                (loaded, true)
            }
            Ok(_) => (kept.last.clone(), true),
            Err(error) => {
                let last = kept.last.clone();
                drop(kept);
                self.complain(&error);
                (last, false)
            }
        }
    }

    fn keep(&self, last: SavedLedger, is_unsaved: bool) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Kept { last, is_unsaved };
    }

    fn is_unsaved(&self) -> bool {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.is_unsaved
    }

    /// Once, until it is written again.
    fn complain(&self, error: &StoreError) {
        if !self.is_unsaved() {
            tracing::warn!(
                error.type = error.error_type(), error = error.in_full(),
                "the totals of sessions cannot be kept beside the database; they go on in memory until this process ends"
            );
        }
    }

    async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let answer = tokio::time::timeout(self.timeout, answer).await;
        answer.unwrap_or_else(|_| Err(StoreError::timed_out()))
    }
}

fn tell(Reconciled { lost, restored }: Reconciled) {
    if lost > 0 || restored > 0 {
        tracing::warn!(
            lost,
            restored,
            "the session store has lost data: `lost` sessions are gone and their users are logged out; `restored` ones, whose \
             end it has lost, are live again"
        );
    }
}
