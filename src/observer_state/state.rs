//! The rules: what is known of the store, and for how long.

use std::time::Duration;

/// All times are monotonic.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Rises whenever this replica begins or ceases to observe.
    pub(super) term: u64,
    /// When the last count of this term was asked for.
    pub(super) counted_at: Option<Duration>,
    /// The store did not answer the last count.
    pub(super) is_count_missing: bool,
    /// The store did not say who observes when it was asked last.
    pub(super) is_lease_missing: bool,
    /// When the store was asked for what it answered last: a count, or who observes. None: it has never answered.
    pub(super) answered_at: Option<Duration>,
    /// A count that is older is believed no more, whoever should have withdrawn it. None: for ever.
    pub(super) believed_for: Option<Duration>,
    /// Since when it is this replica that observes, and until when.
    pub(super) watch: (Duration, Duration),
    /// Until when it is believed that the store answers, while it is not this replica that observes.
    pub(super) stands_by: Duration,
    /// What the lease said last.
    pub(super) epoch: Option<u64>,
}

impl State {
    pub(super) fn heard(&mut self, asked_at: Duration) {
        self.is_lease_missing = false;
        // While counts are missing, that somebody holds the lease is not what is waited for.
        if self.counted_at.is_none() {
            self.answered_at = Some(asked_at);
        }
    }

    pub(super) fn observes(&self, now: Duration) -> bool {
        now < self.watch.1
    }

    /// What was counted before is no longer exported.
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
            // Before the first count of a term there is the answer that it has begun.
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

/// Whether the store answers this replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answers {
    Yes,
    No,
    /// It was asked too long ago. The process may have stood still, and then the store is not to blame.
    NotAsked,
}

/// A process that has stood still asks again within this time once it goes on.
pub(super) const TO_ASK_AGAIN: Duration = Duration::from_secs(1);
