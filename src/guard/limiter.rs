//! The arithmetic of a budget, free of stores and clocks.
//!
//! A budget is two things. **Attempts** that were charged and not given back are counted; when `attempts` of them are
//! reached the entity is locked, for `lock` at first and for twice as long each time it is locked again, up to
//! `longest_lock`. When a lock has passed the count starts **afresh**: a lock that left its count behind would lock
//! again at the next mistake. Between locks the count falls by one every `regain`, so that the mistakes of a week do not
//! add up. How often it was locked is forgotten after `forget` without a charge.

use std::time::Duration;

use crate::clock::Timestamp;

/// What an entity may spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Charges until the lock; at least 1. The one that reaches it is still let through.
    pub attempts: u32,
    /// In which time one charge is forgotten.
    pub regain: Duration,
    /// How long the first lock lasts.
    pub lock: Duration,
    /// How long a lock lasts at most.
    pub longest_lock: Duration,
    /// After which time without a charge an entity starts from nothing.
    pub forget: Duration,
}

/// What is remembered of an entity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitState {
    /// Charges that count against the budget.
    pub spent: u32,
    /// When `spent` was last brought up to date.
    pub as_of: Timestamp,
    /// Until when the entity is locked; in the past if it is not.
    pub locked_until: Timestamp,
    /// How many locks in a row.
    pub locks: u32,
}

impl LimitState {
    /// From when on this state says nothing that no state would not say.
    #[must_use]
    pub fn expires_at(&self, budget: &Budget) -> Timestamp {
        self.as_of.max(self.locked_until).plus(budget.forget)
    }
}

/// The answer to one charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Charged; go on.
    Go,
    /// Not charged: locked for this long, at least a millisecond.
    Wait(Duration),
}

/// Charges one attempt at `now`.
#[must_use]
pub fn charge(state: Option<LimitState>, now: Timestamp, budget: &Budget) -> (LimitState, Verdict) {
    let mut state = current(state.unwrap_or_default(), now, budget);
    if state.locked_until > now {
        return (state, Verdict::Wait(state.locked_until.since(now)));
    }
    if state.spent == 0 {
        state.as_of = now;
    }
    state.spent += 1;
    if state.spent >= budget.attempts {
        let doubled = budget.lock.saturating_mul(1 << state.locks.min(20));
        state.locked_until = now.plus(doubled.min(budget.longest_lock));
        state.locks = state.locks.saturating_add(1);
    }
    (state, Verdict::Go)
}

/// Gives one charge back, or with `whole` all of them and the memory of locks too. A lock that the charge brought
/// about goes with it.
#[must_use]
pub fn refund(state: LimitState, now: Timestamp, budget: &Budget, whole: bool) -> LimitState {
    if whole {
        return LimitState {
            as_of: now,
            ..LimitState::default()
        };
    }
    let mut state = current(state, now, budget);
    let locked_by_last = state.locked_until > now && state.spent >= budget.attempts;
    state.spent = state.spent.saturating_sub(1);
    if locked_by_last && state.spent < budget.attempts {
        state.locked_until = Timestamp::default();
        state.locks = state.locks.saturating_sub(1);
    }
    state
}

/// The state brought up to `now`: afresh after a lock, less what was regained, nothing after `forget`.
fn current(state: LimitState, now: Timestamp, budget: &Budget) -> LimitState {
    if state.expires_at(budget) <= now {
        return LimitState {
            as_of: now,
            ..LimitState::default()
        };
    }
    if state.locked_until > now {
        return state;
    }
    let mut state = state;
    if state.locked_until > Timestamp::default() {
        state.spent = 0;
        state.as_of = state.locked_until;
        state.locked_until = Timestamp::default();
    }
    let regain = budget.regain.as_millis().max(1);
    let steps = now.since(state.as_of).as_millis() / regain;
    if steps > 0 {
        let forgotten = u32::try_from(steps).unwrap_or(u32::MAX);
        state.spent = state.spent.saturating_sub(forgotten);
        let moved = u64::try_from(steps * regain).unwrap_or(u64::MAX);
        state.as_of = state.as_of.plus(Duration::from_millis(moved));
    }
    state
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BUDGET: Budget = Budget {
        attempts: 3,
        regain: Duration::from_mins(1),
        lock: Duration::from_secs(30),
        longest_lock: Duration::from_secs(100),
        forget: Duration::from_hours(1),
    };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_000_000_000 + seconds * 1000)
    }

    /// Charges at each second given; returns the last verdict.
    fn run(state: &mut Option<LimitState>, seconds: &[i64]) -> Verdict {
        let mut last = Verdict::Go;
        for second in seconds {
            let (next, verdict) = charge(*state, at(*second), &BUDGET);
            *state = Some(next);
            last = verdict;
        }
        last
    }

    #[test]
    fn exactly_the_budget_passes_and_then_it_is_locked() {
        let mut state = None;
        assert_eq!(run(&mut state, &[0, 0, 0]), Verdict::Go);
        assert_eq!(
            run(&mut state, &[0]),
            Verdict::Wait(Duration::from_secs(30))
        );
    }

    #[test]
    fn a_lock_that_has_passed_leaves_a_whole_budget() {
        let mut state = None;
        run(&mut state, &[0, 0, 0]);
        assert_eq!(run(&mut state, &[30, 30, 30]), Verdict::Go);
        assert!(matches!(run(&mut state, &[30]), Verdict::Wait(_)));
    }

    #[test]
    fn each_lock_is_twice_as_long_up_to_the_longest() {
        let mut state = None;
        let (mut second, mut waits) = (0, Vec::new());
        for _ in 0..4 {
            run(&mut state, &[second, second, second]);
            if let Verdict::Wait(wait) = run(&mut state, &[second]) {
                waits.push(wait.as_secs());
                second += i64::try_from(wait.as_secs()).unwrap();
            }
        }
        assert_eq!(waits, [30, 60, 100, 100]);
    }

    #[test]
    fn mistakes_far_apart_do_not_add_up() {
        let mut state = None;
        let daily: Vec<i64> = (0..20).map(|n| n * 61).collect();
        assert_eq!(run(&mut state, &daily), Verdict::Go);
        assert_eq!(state.unwrap().locks, 0);
    }

    #[test]
    fn a_right_password_clears_everything() {
        let mut state = None;
        run(&mut state, &[0, 0, 0]);
        let cleared = refund(state.unwrap(), at(1), &BUDGET, true);
        state = Some(cleared);
        assert_eq!(run(&mut state, &[1, 1, 1]), Verdict::Go);
    }

    #[test]
    fn one_charge_given_back_is_one_charge_and_takes_its_lock_along() {
        let mut state = None;
        run(&mut state, &[0, 0, 0]);
        state = Some(refund(state.unwrap(), at(1), &BUDGET, false));
        assert_eq!(run(&mut state, &[1]), Verdict::Go);
        assert!(matches!(run(&mut state, &[1]), Verdict::Wait(_)));
    }

    proptest! {
        /// In any second-grained sequence no window shorter than a lock sees more than the budget pass.
        #[test]
        fn no_burst_is_larger_than_the_budget(gaps in prop::collection::vec(0_i64..20, 1..200)) {
            let (mut state, mut now, mut passed) = (None, 0, Vec::new());
            for gap in gaps {
                now += gap;
                let (next, verdict) = charge(state, at(now), &BUDGET);
                state = Some(next);
                match verdict {
                    Verdict::Go => passed.push(now),
                    Verdict::Wait(wait) => prop_assert!(wait > Duration::ZERO && wait <= BUDGET.longest_lock),
                }
                // Within 30 s (the shortest lock, half of `regain`) at most the budget passes.
                let recent = passed.iter().filter(|then| now - **then < 30).count();
                prop_assert!(recent <= BUDGET.attempts as usize);
            }
        }

        #[test]
        fn a_wait_that_was_sat_out_is_followed_by_a_pass(gaps in prop::collection::vec(0_i64..90, 1..100)) {
            let (mut state, mut now) = (None, 0);
            for gap in gaps {
                now += gap;
                let (next, verdict) = charge(state, at(now), &BUDGET);
                state = Some(next);
                if let Verdict::Wait(wait) = verdict {
                    now += i64::try_from(wait.as_millis().div_ceil(1000)).unwrap();
                    let (next, verdict) = charge(state, at(now), &BUDGET);
                    prop_assert_eq!(verdict, Verdict::Go);
                    state = Some(next);
                }
            }
        }
    }
}
