//! Tracks whether this replica exports service-wide metrics, and whether the session store responds to it.
//!
//! The gauges that one replica exports for the whole service read this state in their callbacks, which run on an
//! exporter's thread. It is memory behind a lock, and reading it never waits for a store.

mod state;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use self::state::{Answers, State, TO_ASK_AGAIN};
use crate::clock::Clock;

/// The lease of this replica, and the state of its counts. Cheap to clone; all clones share one state.
///
/// All times are of the monotonic clock. The state expires by itself: a process that was suspended does not export
/// old counts when it resumes.
#[derive(Clone)]
pub struct ObserverState {
    state: Arc<RwLock<State>>,
    /// When it was first noticed that the store had not been queried for too long.
    not_asked: Arc<Mutex<Option<Duration>>>,
    clock: Arc<dyn Clock>,
}

/// A term as observer: from the moment a replica acquires the lease until it loses it. Counts of one term are not
/// exported in another: a replica in between may have exported later counts, and totals must not decrease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term(pub(self) u64);

impl fmt::Debug for ObserverState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ObserverState").field(&self.state).finish()
    }
}

impl ObserverState {
    /// Creates the state of a replica that is not the observer and has not queried the store.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            state: Arc::default(),
            not_asked: Arc::default(),
            clock,
        }
    }

    /// Records that this replica holds the lease until `until`, according to a query sent at `asked_at`. Returns true
    /// if a new term begins.
    #[must_use]
    pub fn lease_acquired(&self, epoch: u64, asked_at: Duration, until: Duration) -> bool {
        let now = self.clock.monotonic();
        self.change(|state| {
            let goes_on = state.observes(now) && state.epoch == Some(epoch);
            if !goes_on {
                state.end_term();
                state.is_count_missing = false;
                state.watch.0 = asked_at;
            }
            state.heard(asked_at);
            state.watch.1 = until;
            state.epoch = Some(epoch);
            !goes_on
        })
    }

    /// Records that another replica holds the lease, according to a query sent at `asked_at`. The store is considered
    /// available until `until`.
    pub fn lease_held_elsewhere(&self, epoch: u64, asked_at: Duration, until: Duration) {
        self.change(|state| {
            state.watch.1 = Duration::ZERO;
            state.end_term();
            state.heard(asked_at);
            state.is_count_missing = false;
            state.stands_by = until;
            state.epoch = Some(epoch);
        });
    }

    /// Records that this replica releases the lease because it stops. Whether the store responds is left unchanged.
    pub fn lease_released(&self) {
        self.change(|state| {
            state.watch.1 = Duration::ZERO;
            state.stands_by = Duration::MAX;
            state.end_term();
        });
    }

    /// Records that the query for the lease failed. A lease that this replica holds stays valid until it expires.
    pub fn lease_unanswered(&self) {
        self.change(|state| state.is_lease_missing = true);
    }

    /// Records that a count requested at `asked_at` succeeded. Returns the term in which it may be exported, or
    /// `None` if this replica is not the observer, or was not at that time.
    #[must_use]
    pub fn count_answered(&self, asked_at: Duration) -> Option<Term> {
        let now = self.clock.monotonic();
        self.change(|state| {
            if !state.observes(now) || asked_at < state.watch.0 {
                return None;
            }
            state.counted_at = Some(asked_at);
            state.is_count_missing = false;
            state.answered_at = Some(asked_at);
            Some(Term(state.term))
        })
    }

    /// Records that a count failed. No count is exported until the next one succeeds.
    pub fn count_unanswered(&self) {
        self.change(|state| state.is_count_missing = true);
    }

    /// Sets the maximum age of a count. Older counts are not exported, so that a process that stops counting exports
    /// nothing instead of stale values.
    pub fn limit_count_age(&self, limit: Duration) {
        self.change(|state| state.believed_for = Some(limit));
    }

    /// Returns true if this replica is the observer.
    #[must_use]
    pub fn observes(&self) -> bool {
        self.observes_since().is_some()
    }

    /// Returns the time since which this replica is the observer, if it is. Results requested earlier must not be
    /// exported.
    #[must_use]
    pub fn observes_since(&self) -> Option<Duration> {
        let now = self.clock.monotonic();
        self.read(|state| state.observes(now).then_some(state.watch.0))
    }

    /// Returns true if this replica is the observer in this term. The totals of its last count may be exported.
    #[must_use]
    pub fn is_current(&self, term: Term) -> bool {
        let now = self.clock.monotonic();
        self.read(|state| state.term == term.0 && state.observes(now))
    }

    /// Returns true if, in addition to [`ObserverState::is_current`], the last count succeeded and a count requested
    /// at `asked_at` is not too old. It may be exported as the current state.
    #[must_use]
    pub fn is_fresh(&self, term: Term, asked_at: Duration) -> bool {
        let now = self.clock.monotonic();
        self.read(|state| {
            state.term == term.0
                && state.observes(now)
                && !state.is_count_missing
                && state.is_believed(asked_at, now)
        })
    }

    /// Returns when the last successful query was sent: a count, or a query for the lease. `None` if none has succeeded.
    #[must_use]
    pub fn answered_at(&self) -> Option<Duration> {
        self.read(|state| state.answered_at)
    }

    /// Returns the time since the last successful query was sent.
    #[must_use]
    pub fn answer_age(&self) -> Option<Duration> {
        let now = self.clock.monotonic();
        self.answered_at().map(|then| now.saturating_sub(then))
    }

    /// Returns the last known epoch of the lease: it increases when another replica acquires it.
    #[must_use]
    pub fn epoch(&self) -> Option<u64> {
        self.read(|state| state.epoch)
    }

    /// Returns whether the store responds to this replica. `None` while that is not known.
    #[must_use]
    pub fn is_store_up(&self) -> Option<bool> {
        let now = self.clock.monotonic();
        let answers = self.read(|state| state.answers(now));
        let mut not_asked = self
            .not_asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if answers != Answers::NotAsked {
            *not_asked = None;
            return Some(answers == Answers::Yes);
        }
        // If this still holds at the second check, the querying task is stuck, and no count can be trusted.
        let since = *not_asked.get_or_insert(now);
        (now.saturating_sub(since) >= TO_ASK_AGAIN).then_some(false)
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }
}
