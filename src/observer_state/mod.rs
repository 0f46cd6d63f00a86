//! Which replica exports what is service-wide, and whether the session store answers this one.
//!
//! Gauges that one replica exports for the whole service read it in their callbacks, which run on an exporter's thread: it is
//! memory behind a lock and waits for nothing.

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
/// All times are of the monotonic clock. The state expires by itself: a process that was stopped does not export old counts
/// when it goes on.
#[derive(Clone)]
pub struct ObserverState {
    state: Arc<RwLock<State>>,
    /// When it was first noticed that the store had not been asked for too long.
    not_asked: Arc<Mutex<Option<Duration>>>,
    clock: Arc<dyn Clock>,
}

/// A term of observing: from the moment at which a replica takes the lease over until it loses it. What was counted in one
/// term is not exported in another: a replica in between may have exported later counts, and totals must not go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term(pub(self) u64);

impl fmt::Debug for ObserverState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ObserverState").field(&self.state).finish()
    }
}

impl ObserverState {
    /// The state of a replica that does not observe and has asked the store nothing.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            state: Arc::default(),
            not_asked: Arc::default(),
            clock,
        }
    }

    /// This replica holds the lease until `until`, as the store answered to a question of the time `asked_at`. Returns true if a
    /// new term begins with it.
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

    /// Another replica holds the lease, as the store answered to a question of the time `asked_at`. That the store answers is
    /// believed until `until`.
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

    /// This replica releases the lease because it stops. Whether the store answers stays as it was.
    pub fn lease_released(&self) {
        self.change(|state| {
            state.watch.1 = Duration::ZERO;
            state.stands_by = Duration::MAX;
            state.end_term();
        });
    }

    /// The store did not answer who holds the lease. A lease that this replica holds stays valid to its end.
    pub fn lease_unanswered(&self) {
        self.change(|state| state.is_lease_missing = true);
    }

    /// The store answered a count that was asked for at `asked_at`. Returns the term in which it may be exported, or `None` if this
    /// replica does not observe, or did not at that time.
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

    /// The store did not answer a count. No count is exported until the next answer.
    pub fn count_unanswered(&self) {
        self.change(|state| state.is_count_missing = true);
    }

    /// Sets the greatest age of a count. An older one is not exported, so that a process that stops counting exports nothing rather
    /// than something old.
    pub fn limit_count_age(&self, limit: Duration) {
        self.change(|state| state.believed_for = Some(limit));
    }

    /// True if this replica observes now.
    #[must_use]
    pub fn observes(&self) -> bool {
        self.observes_since().is_some()
    }

    /// The time since which this replica observes, if it does. What was asked for earlier is not to be exported.
    #[must_use]
    pub fn observes_since(&self) -> Option<Duration> {
        let now = self.clock.monotonic();
        self.read(|state| state.observes(now).then_some(state.watch.0))
    }

    /// True if this replica observes now, in this term. The totals of its last count may be exported.
    #[must_use]
    pub fn is_current(&self, term: Term) -> bool {
        let now = self.clock.monotonic();
        self.read(|state| state.term == term.0 && state.observes(now))
    }

    /// True if, in addition to [`ObserverState::is_current`], the store answered the last count and a count of the time `asked_at`
    /// is young enough. It may be exported as what is so now.
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

    /// When the store was asked for what it last answered: a count, or who holds the lease. `None` if it never answered.
    #[must_use]
    pub fn answered_at(&self) -> Option<Duration> {
        self.read(|state| state.answered_at)
    }

    /// How long ago that was.
    #[must_use]
    pub fn answer_age(&self) -> Option<Duration> {
        let now = self.clock.monotonic();
        self.answered_at().map(|then| now.saturating_sub(then))
    }

    /// The epoch of the lease, as the store last said: it rises when another replica takes over.
    #[must_use]
    pub fn epoch(&self) -> Option<u64> {
        self.read(|state| state.epoch)
    }

    /// Whether the store answers this replica. `None` while that is not known.
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
        // If this is still so at a second look, the task that asks is stuck, and no count can be believed.
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
