//! The rules: what is known about the store, and how long it stays valid.

use std::time::Duration;

/// All times are monotonic.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Increases whenever this replica becomes or stops being the observer.
    pub(super) term: u64,
    /// When the last count of this term was requested.
    pub(super) counted_at: Option<Duration>,
    /// True if the last count failed.
    pub(super) is_count_missing: bool,
    /// True if the last query for the lease failed.
    pub(super) is_lease_missing: bool,
    /// When the last successful query was sent: a count, or a query for the lease. `None` if none has succeeded.
    pub(super) answered_at: Option<Duration>,
    /// Maximum age of a count, enforced even if the task that should withdraw it does not run. `None` means no limit.
    pub(super) believed_for: Option<Duration>,
    /// Since when and until when this replica is the observer.
    pub(super) watch: (Duration, Duration),
    /// Until when the store is considered available, while another replica is the observer.
    pub(super) stands_by: Duration,
    /// The last known epoch of the lease.
    pub(super) epoch: Option<u64>,
}

impl State {
    pub(super) fn heard(&mut self, asked_at: Duration) {
        self.is_lease_missing = false;
        // While counts are missing, a held lease does not show that the store has recovered.
        if self.counted_at.is_none() {
            self.answered_at = Some(asked_at);
        }
    }

    pub(super) fn observes(&self, now: Duration) -> bool {
        now < self.watch.1
    }

    /// Ends the term: earlier counts are no longer exported.
    pub(super) const fn end_term(&mut self) {
        self.term += 1;
        self.counted_at = None;
    }

    pub(super) fn is_believed(&self, asked_at: Duration, now: Duration) -> bool {
        let age = now.saturating_sub(asked_at);
        self.believed_for.is_none_or(|limit| age <= limit)
    }

    pub(super) fn answers(&self, now: Duration) -> Answers {
        let observes = self.observes(now);
        if self.is_count_missing || (self.is_lease_missing && !observes) {
            return Answers::No;
        }
        let Some(answered_at) = self.answered_at else {
            return Answers::No;
        };
        let is_believed = if observes {
            // Before the first count of a term, use the successful query with which the term began.
            let asked_at = self.counted_at.unwrap_or(answered_at);
            self.is_believed(asked_at, now)
        } else {
            now < self.stands_by
        };
        if is_believed {
            Answers::Yes
        } else {
            Answers::NotAsked
        }
    }
}

/// Whether the store responds to this replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answers {
    Yes,
    No,
    /// The last query is too long ago. The process may have been suspended, so the store is not to blame.
    NotAsked,
}

/// A process that was suspended queries again within this time after it resumes.
pub(super) const TO_ASK_AGAIN: Duration = Duration::from_secs(1);
