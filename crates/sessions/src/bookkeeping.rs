//! Counts the sessions in the store and enters each count in the ledger of exported totals.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{Census, Count, LedgerRepository, Reconciled, SavedLedger, SessionRepository};
use skriptoteket_core::error::StoreError;

/// Maximum number of attempts if other replicas enter counts meanwhile. Two replicas that are observers for a moment
/// enter only a few counts per second.
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
    /// The ledger could not be written. It is kept in memory until another process writes.
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

    /// Counts the sessions and returns the census with the totals to export.
    ///
    /// The ledger is read before the store is counted, and written only if no other process has written it since. So
    /// if a count is behind the ledger, the store was restored to an earlier state; the count itself cannot be
    /// outdated.
    ///
    /// If the ledger cannot be read or written, the totals are still exported and continue in memory.
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
                    // The other processes are ahead. What they export is correct.
                    Ok(None) => {}
                    Err(error) => self.complain(&error),
                }
            }
            self.keep(last, !is_saved);
            tell(reconciled);
            return Ok(census);
        }
    }

    /// Returns the ledger to continue from, and whether it could be read.
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

    /// Logs the error once, until the ledger is written again.
    fn complain(&self, error: &StoreError) {
        if !self.is_unsaved() {
            tracing::warn!(
                error.type = error.error_type(), error = error.in_full(),
                "session totals cannot be saved beside the database; they continue in memory until this process ends"
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
