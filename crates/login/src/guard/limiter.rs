//! The arithmetic of a budget, independent of stores and clocks.
//!
//! A budget has two parts. **Failures** are counted; when they reach `attempts`, the entity is locked, for `lock` at
//! first and for twice as long each further time, up to `longest_lock`. After a lock the count starts at **zero**:
//! otherwise the next mistake would lock again. Between locks the count falls by one every `refill`, so that the
//! mistakes of a week do not add up. The number of locks is reset after `forget` without a failure.
//!
//! An attempt whose outcome is not known yet **holds** a place. Failures and holds together never exceed `attempts`, so
//! concurrent guesses cannot exceed the budget. A hold is not a failure and locks nothing. An attempt that finds all
//! places held waits for an outcome.
//!
//! A hold that is never settled, because its replica died, becomes a failure after one to two [`HOLD_WINDOW`]s. Holds
//! are counted per window, for the current and the previous one. This gives the state a fixed size and lets the holds
//! of a dead replica age while others are taken and released.
//!
//! A time further in the future than it could have been set comes from a wrong clock: it is reduced to the latest time
//! that is possible now.

use std::time::Duration;

use skriptoteket_core::clock::Timestamp;

/// The length of the windows by which holds are counted. A hold lives for one to two windows: longer than a password
/// check takes, including the wait for a hashing thread.
pub const HOLD_WINDOW: Duration = Duration::from_secs(15);

/// The limits of an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Failures until the lock; at least 1.
    pub attempts: u32,
    /// Time after which one failure is forgotten.
    pub refill: Duration,
    /// Duration of the first lock.
    pub lock: Duration,
    /// Maximum duration of a lock.
    pub longest_lock: Duration,
    /// Time without a failure after which the state of the entity is reset.
    pub forget: Duration,
}

/// The stored state of an entity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitState {
    /// Failures that count against the budget.
    pub spent: u32,
    /// When `spent` was last updated.
    pub as_of: Timestamp,
    /// End of the lock; zero if the entity is not locked.
    pub locked_until: Timestamp,
    /// Number of consecutive locks.
    pub locks: u32,
    /// Number of the window that `held` belongs to, in [`HOLD_WINDOW`]s since 1970.
    pub window: u32,
    /// Unsettled attempts that began in this window.
    pub held: u32,
    /// Unsettled attempts that began in the previous window.
    pub held_before: u32,
}

impl LimitState {
    /// Returns when this state becomes equivalent to none.
    #[must_use]
    pub fn expires_at(&self, budget: &Budget) -> Timestamp {
        if self.in_flight() > 0 {
            // Unsettled holds become failures, which may lock the entity.
            let end = self
                .window
                .saturating_add(if self.held > 0 { 2 } else { 1 });
            return Timestamp::default()
                .plus(HOLD_WINDOW.saturating_mul(end))
                .plus(budget.longest_lock)
                .plus(budget.forget)
                .max(self.failures_expire_at(budget));
        }
        self.failures_expire_at(budget)
    }

    fn failures_expire_at(&self, budget: &Budget) -> Timestamp {
        if self.locks > 0 || self.locked_until > Timestamp::default() {
            return self.as_of.max(self.locked_until).plus(budget.forget);
        }
        let refilled = refill(budget).saturating_mul(self.spent);
        self.as_of.plus(refilled.min(budget.forget))
    }

    /// True if this state is equivalent to none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spent == 0
            && self.locks == 0
            && self.in_flight() == 0
            && self.locked_until == Timestamp::default()
    }

    /// Returns the state without failures and locks. Attempts in flight stay in flight.
    #[must_use]
    pub fn cleared(self, now: Timestamp) -> Self {
        Self {
            spent: 0,
            as_of: now,
            locked_until: Timestamp::default(),
            locks: 0,
            ..self
        }
    }

    const fn in_flight(&self) -> u32 {
        self.held.saturating_add(self.held_before)
    }
}

/// The place that an attempt holds in each of its budgets until its outcome is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The window in which it was taken.
    pub window: u32,
}

/// The outcome of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// The password was correct: the budget of a person is reset, and the budget of an address is as before the
    /// attempt. (It is not reset: otherwise an attacker could refill the budget of their address by logging in to their
    /// own account.)
    Right,
    /// The password was wrong.
    Wrong,
    /// The password was not checked: the attempt has no effect.
    NotChecked,
}

/// The result of reserving places in several budgets. Budgets are identified by their index in the slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// The attempt holds a place in each budget and may continue.
    Go(Hold),
    /// All places of this budget are failures or held: wait for an outcome. Nothing was changed.
    Busy(usize),
    /// This budget is locked for this long, at least a millisecond. The budgets before it count a failure.
    Locked(usize, Duration),
}

/// Takes a place for one attempt in each of these budgets at `now`, or in none. Budgets after the first one that
/// rejects the attempt stay unchanged.
#[must_use]
pub fn reserve(states: &mut [LimitState], budgets: &[Budget], now: Timestamp) -> Reserved {
    let mut entities = states.iter_mut().zip(budgets).enumerate();
    let refused = entities.find_map(|(at, (state, budget))| {
        *state = current(*state, now, budget);
        if state.locked_until > now {
            return Some(Reserved::Locked(at, state.locked_until.since(now)));
        }
        let taken = state.spent.saturating_add(state.in_flight());
        (taken >= budget.attempts).then_some(Reserved::Busy(at))
    });
    match refused {
        Some(Reserved::Locked(at, wait)) => {
            for (state, budget) in states.iter_mut().zip(budgets).take(at) {
                fail(state, 1, now, budget);
            }
            Reserved::Locked(at, wait)
        }
        Some(busy) => busy,
        None => {
            for state in states {
                state.held += 1;
            }
            Reserved::Go(Hold {
                window: window_at(now),
            })
        }
    }
}

/// Ends a hold on one budget. With `is_person`, a correct password resets the budget.
///
/// A hold that was not settled in time has become a failure. If it should not have been one, the failure is taken back,
/// together with a lock that it caused.
#[must_use]
pub fn settle(
    state: LimitState,
    now: Timestamp,
    budget: &Budget,
    hold: Hold,
    checked: Checked,
    is_person: bool,
) -> LimitState {
    let mut state = current(state, now, budget);
    let in_time = release(&mut state, hold);
    match checked {
        Checked::Right if is_person => return state.cleared(now),
        Checked::Wrong if in_time => fail(&mut state, 1, now, budget),
        Checked::Right | Checked::NotChecked if !in_time => {
            let locked_by_last = state.locked_until > now && state.spent >= budget.attempts;
            state.spent = state.spent.saturating_sub(1);
            if locked_by_last && state.spent < budget.attempts {
                state.locked_until = Timestamp::default();
                state.locks = state.locks.saturating_sub(1);
            }
        }
        _ => {}
    }
    state
}

/// Releases one hold. Returns false if it no longer exists.
fn release(state: &mut LimitState, hold: Hold) -> bool {
    let places = if hold.window >= state.window {
        &mut state.held
    } else if hold.window.saturating_add(1) == state.window {
        &mut state.held_before
    } else {
        return false;
    };
    let was_there = *places > 0;
    *places = places.saturating_sub(1);
    was_there
}

/// Counts failures, and locks when they reach the size of the budget.
fn fail(state: &mut LimitState, failures: u32, now: Timestamp, budget: &Budget) {
    if state.spent == 0 {
        state.as_of = now;
    }
    state.spent = state.spent.saturating_add(failures);
    if state.spent >= budget.attempts && state.locked_until <= now {
        let doubled = budget.lock.saturating_mul(1 << state.locks.min(20));
        state.locked_until = now.plus(doubled.min(budget.longest_lock));
        state.locks = state.locks.saturating_add(1);
    }
}

/// Returns the state updated to `now`: reset after a lock, reduced by the refill, reset after `forget`; holds that are
/// too old become failures.
fn current(state: LimitState, now: Timestamp, budget: &Budget) -> LimitState {
    let mut state = state;
    state.as_of = state.as_of.min(now);
    state.locked_until = state.locked_until.min(now.plus(budget.longest_lock));
    if state.failures_expire_at(budget) <= now {
        state = state.cleared(now);
    }
    if state.locked_until <= now {
        if state.locked_until > Timestamp::default() {
            state.spent = 0;
            state.as_of = state.locked_until;
            state.locked_until = Timestamp::default();
        }
        let refill = refill(budget).as_millis();
        let steps = now.since(state.as_of).as_millis() / refill;
        if steps > 0 {
            let forgotten = u32::try_from(steps).unwrap_or(u32::MAX);
            state.spent = state.spent.saturating_sub(forgotten);
            let moved = u64::try_from(steps * refill).unwrap_or(u64::MAX);
            state.as_of = state.as_of.plus(Duration::from_millis(moved));
        }
    }
    let lapsed = turn(&mut state, window_at(now));
    if lapsed > 0 {
        fail(&mut state, lapsed, now, budget);
    }
    state
}

/// Advances to this window. Returns how many holds are too old.
fn turn(state: &mut LimitState, window: u32) -> u32 {
    let passed = window.saturating_sub(state.window);
    let lapsed = match passed {
        0 => {
            if state.window > window {
                // The clock was set back: existing holds count from now on.
                (state.held, state.held_before) = (state.in_flight(), 0);
            }
            0
        }
        1 => {
            let lapsed = state.held_before;
            (state.held, state.held_before) = (0, state.held);
            lapsed
        }
        _ => {
            let lapsed = state.in_flight();
            (state.held, state.held_before) = (0, 0);
            lapsed
        }
    };
    state.window = window;
    lapsed
}

/// Returns the number of the window at `now`.
fn window_at(now: Timestamp) -> u32 {
    let millis = now.since(Timestamp::default()).as_millis();
    u32::try_from(millis / HOLD_WINDOW.as_millis()).unwrap_or(u32::MAX)
}

/// Returns `refill`, but at least 1 ms: the rate of an immediate refill would be a division by zero.
fn refill(budget: &Budget) -> Duration {
    budget.refill.max(Duration::from_millis(1))
}

#[cfg(test)]
mod tests;
