//! The arithmetic of a budget, free of stores and clocks.
//!
//! A budget is two things. **Failures** are counted; when `attempts` of them are reached the entity is locked, for `lock`
//! at first and for twice as long each time it is locked again, up to `longest_lock`. When a lock has passed the count
//! starts **afresh**: a lock that left its count behind would lock again at the next mistake. Between locks the count falls
//! by one every `refill`, so that the mistakes of a week do not add up. How often it was locked is forgotten after `forget`
//! without a failure.
//!
//! An attempt whose outcome is not known yet **holds** a place: failures and holds together never exceed `attempts`, so
//! guesses sent at once cannot pass together. A hold is no failure and locks nothing. Who finds all places held waits for an
//! outcome.
//!
//! A hold that nobody settles, because the replica died, becomes a failure after one to two [`HOLD_WINDOW`]s. Holds are
//! counted by the window that they were taken in, this one and the one before, so that a state has a fixed size and a dead
//! replica's holds age while others come and go.
//!
//! A time that is further ahead than it could have been set is from a clock that was wrong: it is cut to the furthest that is
//! possible now.

use std::time::Duration;

use crate::clock::Timestamp;

/// The length of the windows by which holds are counted. A hold lives for one to two of them: longer than a password check
/// takes, the wait for a hash thread included.
pub const HOLD_WINDOW: Duration = Duration::from_secs(15);

/// What an entity may spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Failures until the lock; at least 1.
    pub attempts: u32,
    /// In which time one failure is forgotten.
    pub refill: Duration,
    /// How long the first lock lasts.
    pub lock: Duration,
    /// How long a lock lasts at most.
    pub longest_lock: Duration,
    /// After which time without a failure an entity starts from nothing.
    pub forget: Duration,
}

/// What is remembered of an entity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitState {
    /// Failures that count against the budget.
    pub spent: u32,
    /// When `spent` was last brought up to date.
    pub as_of: Timestamp,
    /// Until when the entity is locked; zero if it is not.
    pub locked_until: Timestamp,
    /// How many locks in a row.
    pub locks: u32,
    /// Number of the window that `held` belongs to, counted in [`HOLD_WINDOW`]s since 1970.
    pub window: u32,
    /// Attempts that began in this window and are not settled.
    pub held: u32,
    /// Attempts that began in the window before and are not settled.
    pub held_before: u32,
}

impl LimitState {
    /// From when on this state says nothing that no state would not say.
    #[must_use]
    pub fn expires_at(&self, budget: &Budget) -> Timestamp {
        if self.in_flight() > 0 {
            // If nobody settles them they turn into failures, and may lock.
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

    /// True where this says the same as no state at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spent == 0
            && self.locks == 0
            && self.in_flight() == 0
            && self.locked_until == Timestamp::default()
    }

    /// The same without failures and locks: what is in flight stays in flight.
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

/// The place that one attempt takes in each of its budgets until its outcome is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The window that it was taken in.
    pub window: u32,
}

/// How an attempt came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// The password was right: a person's budget is whole again, and that of an address as it was before. (Not whole: else
    /// an attacker would refill his address with logins of his own.)
    Right,
    /// The password was wrong.
    Wrong,
    /// The password was not looked at: as if there had been no attempt.
    NotChecked,
}

/// The answer to an attempt on several budgets, named by their places in the slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// Each holds a place for it; go on.
    Go(Hold),
    /// All places of this one are failures or held: wait for an outcome. Nothing was changed.
    Busy(usize),
    /// This one is locked for this long, at least a millisecond. Those before it count a failure.
    Locked(usize, Duration),
}

/// Takes a place for one attempt in each of these budgets at `now`, or in none. A budget that was asked for nothing, because
/// an earlier one refused, stays untouched.
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

/// Ends a hold on one budget. `is_person` where a right password makes the budget whole.
///
/// A hold that was not settled in time has become a failure: one that should not have been is taken back, together with a
/// lock that it brought about.
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

/// Takes one hold away. False if it is there no more.
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

/// Counts failures, and locks when there are as many as the budget has.
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

/// The state brought up to `now`: afresh after a lock, less what was refilled, nothing after `forget`; holds that are too
/// old are failures.
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

/// Turns to this window. Returns how many holds are too old.
fn turn(state: &mut LimitState, window: u32) -> u32 {
    let passed = window.saturating_sub(state.window);
    let lapsed = match passed {
        0 => {
            if state.window > window {
                // The clock was put back: what is held is held from now on.
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

/// The number of the window at `now`.
fn window_at(now: Timestamp) -> u32 {
    let millis = now.since(Timestamp::default()).as_millis();
    u32::try_from(millis / HOLD_WINDOW.as_millis()).unwrap_or(u32::MAX)
}

/// A budget whose failures are forgotten at once would divide by nothing.
fn refill(budget: &Budget) -> Duration {
    budget.refill.max(Duration::from_millis(1))
}

#[cfg(test)]
mod tests;
