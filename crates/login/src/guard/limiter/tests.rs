use proptest::prelude::*;

use super::*;

const BUDGET: Budget = Budget {
    attempts: 3,
    refill: Duration::from_mins(1),
    lock: Duration::from_secs(30),
    longest_lock: Duration::from_secs(100),
    forget: Duration::from_hours(1),
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_000_000_005_000 + seconds * 1000)
}

fn reserve_one(state: &mut LimitState, now: Timestamp) -> Reserved {
    reserve(std::slice::from_mut(state), &[BUDGET], now)
}

fn wrong(state: &mut LimitState, now: Timestamp, hold: Hold) {
    *state = settle(*state, now, &BUDGET, hold, Checked::Wrong, true);
}

/// Takes a place for one more attempt, which must succeed.
fn hold(state: &mut LimitState, now: Timestamp) -> Hold {
    match reserve_one(state, now) {
        Reserved::Go(hold) => hold,
        other => panic!("no place: {other:?}"),
    }
}

/// Makes a wrong guess at each of these seconds. Returns the last result.
fn run(state: &mut LimitState, seconds: &[i64]) -> Reserved {
    let mut last = Reserved::Busy(usize::MAX);
    for second in seconds {
        last = reserve_one(state, at(*second));
        if let Reserved::Go(hold) = last {
            wrong(state, at(*second), hold);
        }
    }
    last
}

fn is_go(result: Reserved) -> bool {
    matches!(result, Reserved::Go(_))
}

fn locked(seconds: u64) -> Reserved {
    Reserved::Locked(0, Duration::from_secs(seconds))
}

#[test]
fn exactly_the_budget_passes_and_then_it_is_locked() {
    let mut state = LimitState::default();
    assert!(is_go(run(&mut state, &[0, 0, 0])));
    assert_eq!(run(&mut state, &[0]), locked(30));
}

#[test]
fn a_lock_that_has_passed_leaves_a_whole_budget() {
    let mut state = LimitState::default();
    run(&mut state, &[0, 0, 0]);
    assert!(is_go(run(&mut state, &[30, 30, 30])));
    assert!(matches!(run(&mut state, &[30]), Reserved::Locked(..)));
}

#[test]
fn each_lock_is_twice_as_long_up_to_the_longest() {
    let mut state = LimitState::default();
    let (mut second, mut waits) = (0, Vec::new());
    for _ in 0..4 {
        run(&mut state, &[second, second, second]);
        if let Reserved::Locked(_, wait) = run(&mut state, &[second]) {
            waits.push(wait.as_secs());
            second += i64::try_from(wait.as_secs()).unwrap();
        }
    }
    assert_eq!(waits, [30, 60, 100, 100]);
}

#[test]
fn mistakes_far_apart_do_not_add_up() {
    let mut state = LimitState::default();
    let daily: Vec<i64> = (0..20).map(|n| n * 61).collect();
    assert!(is_go(run(&mut state, &daily)));
    assert_eq!(state.locks, 0);
}

#[test]
fn attempts_in_flight_take_places_and_lock_nothing() {
    let mut state = LimitState::default();
    let holds = [(); 3].map(|()| hold(&mut state, at(0)));
    assert_eq!(reserve_one(&mut state, at(0)), Reserved::Busy(0));
    assert_eq!((state.spent, state.locks), (0, 0));
    for hold in holds {
        state = settle(state, at(1), &BUDGET, hold, Checked::Right, false);
    }
    assert!(state.is_empty(), "{state:?}");
}

#[test]
fn only_the_failures_among_those_in_flight_count() {
    let mut state = LimitState::default();
    let [first, second, third] = [(); 3].map(|()| hold(&mut state, at(0)));
    wrong(&mut state, at(1), first);
    state = settle(state, at(1), &BUDGET, second, Checked::NotChecked, true);
    assert_eq!((state.spent, state.locked_until), (1, Timestamp::default()));
    let fourth = hold(&mut state, at(1));
    wrong(&mut state, at(1), third);
    assert_eq!(reserve_one(&mut state, at(1)), Reserved::Busy(0));
    wrong(&mut state, at(1), fourth);
    assert_eq!(reserve_one(&mut state, at(1)), locked(30));
}

#[test]
fn a_right_password_clears_all_failures_and_leaves_what_is_in_flight() {
    let mut state = LimitState::default();
    run(&mut state, &[0]);
    let [right, guess] = [(); 2].map(|()| hold(&mut state, at(1)));
    state = settle(state, at(1), &BUDGET, right, Checked::Right, true);
    assert_eq!((state.spent, state.held), (0, 1));
    assert!(is_go(run(&mut state, &[1, 1])));
    assert_eq!(reserve_one(&mut state, at(1)), Reserved::Busy(0));
    wrong(&mut state, at(1), guess);
    assert!(matches!(run(&mut state, &[1]), Reserved::Locked(..)));
}

#[test]
fn what_a_dead_replica_held_becomes_failures() {
    let mut state = LimitState::default();
    for _ in 0..3 {
        hold(&mut state, at(0));
    }
    assert_eq!(reserve_one(&mut state, at(14)), Reserved::Busy(0));
    assert_eq!(reserve_one(&mut state, at(31)), locked(30));
}

#[test]
fn a_hold_that_was_settled_late_is_put_right() {
    for checked in [Checked::Right, Checked::NotChecked] {
        let mut state = LimitState::default();
        let late = hold(&mut state, at(0));
        hold(&mut state, at(0));
        hold(&mut state, at(0));
        assert_eq!(reserve_one(&mut state, at(31)), locked(30));
        state = settle(state, at(32), &BUDGET, late, checked, false);
        assert_eq!((state.spent, state.locks), (2, 0), "{checked:?}");
        assert!(is_go(reserve_one(&mut state, at(32))));
    }
    let mut state = LimitState::default();
    let late = hold(&mut state, at(0));
    assert!(is_go(reserve_one(&mut state, at(40))));
    wrong(&mut state, at(41), late);
    assert_eq!(state.spent, 1, "counted once");
}

#[test]
fn a_later_budget_that_is_locked_costs_the_earlier_ones_a_failure_and_a_busy_one_nothing() {
    let budgets = [BUDGET; 2];
    let mut states = [LimitState::default(); 2];
    for _ in 0..3 {
        assert!(is_go(reserve_one(&mut states[1], at(0))));
    }
    assert_eq!(reserve(&mut states, &budgets, at(0)), Reserved::Busy(1));
    assert!(states[0].is_empty());
    for _ in 0..3 {
        wrong(&mut states[1], at(0), Hold { window: u32::MAX });
    }
    let result = reserve(&mut states, &budgets, at(0));
    assert_eq!(result, Reserved::Locked(1, Duration::from_secs(30)));
    assert_eq!((states[0].spent, states[0].held), (1, 0));
}

#[test]
fn no_lock_is_longer_than_the_longest_after_the_clock_was_put_back() {
    const DAY: i64 = 86_400;
    let mut state = LimitState::default();
    run(&mut state, &[DAY, DAY, DAY]);
    assert_eq!(reserve_one(&mut state, at(0)), locked(100));
    assert!(is_go(reserve_one(&mut state, at(100))), "and it passes");
}

#[test]
fn failures_and_holds_of_a_clock_that_was_ahead_pass_in_time() {
    const DAY: i64 = 86_400;
    let mut state = LimitState::default();
    run(&mut state, &[DAY, DAY]);
    let mut later = state;
    assert!(is_go(run(&mut state, &[0])), "two failures of three");
    assert!(matches!(run(&mut state, &[0]), Reserved::Locked(..)));
    hold(&mut later, at(0));
    assert_eq!(reserve_one(&mut later, at(0)), Reserved::Busy(0));
    assert!(later.expires_at(&BUDGET) <= at(3600 + 130));
}

#[test]
fn a_state_without_locks_expires_when_everything_is_regained() {
    let mut state = LimitState::default();
    run(&mut state, &[0, 0]);
    assert_eq!(state.expires_at(&BUDGET), at(120));
    run(&mut state, &[0]);
    assert_eq!(state.expires_at(&BUDGET), at(30 + 3600));
}

proptest! {
    /// In any sequence of whole seconds, no interval shorter than a lock contains more failures than the budget.
    #[test]
    fn no_burst_is_larger_than_the_budget(gaps in prop::collection::vec(0_i64..20, 1..200)) {
        let (mut state, mut now, mut passed) = (LimitState::default(), 0, Vec::new());
        for gap in gaps {
            now += gap;
            match run(&mut state, &[now]) {
                Reserved::Go(_) => passed.push(now),
                Reserved::Locked(_, wait) => {
                    prop_assert!(wait > Duration::ZERO && wait <= BUDGET.longest_lock);
                }
                Reserved::Busy(_) => prop_assert!(false, "nothing is in flight"),
            }
            // Within 30 s (the shortest lock, half of `refill`) no more attempts than the budget pass.
            let recent = passed.iter().filter(|then| now - **then < 30).count();
            prop_assert!(recent <= BUDGET.attempts as usize);
        }
    }

    #[test]
    fn a_wait_that_was_sat_out_is_followed_by_a_pass(gaps in prop::collection::vec(0_i64..90, 1..100)) {
        let (mut state, mut now) = (LimitState::default(), 0);
        for gap in gaps {
            now += gap;
            if let Reserved::Locked(_, wait) = run(&mut state, &[now]) {
                now += i64::try_from(wait.as_millis().div_ceil(1000)).unwrap();
                prop_assert!(is_go(run(&mut state, &[now])));
            }
        }
    }

    /// Whatever the clock does and in whatever order attempts are settled, failures and holds stay within the budget
    /// while it is not locked, and no lock exceeds the maximum.
    #[test]
    fn failures_and_holds_never_exceed_the_budget(
        steps in prop::collection::vec((-40_i64..60, 0_u8..6), 1..120)
    ) {
        let (mut state, mut now, mut holds) = (LimitState::default(), 0, Vec::new());
        for (gap, what) in steps {
            now += gap;
            if what < 3 {
                match reserve_one(&mut state, at(now)) {
                    Reserved::Go(hold) => {
                        holds.push(hold);
                        prop_assert!(state.spent + state.held + state.held_before <= BUDGET.attempts);
                    }
                    Reserved::Locked(_, wait) => prop_assert!(wait <= BUDGET.longest_lock),
                    Reserved::Busy(_) => {}
                }
            } else if let Some(hold) = holds.pop() {
                let checked = [Checked::Right, Checked::Wrong, Checked::NotChecked][usize::from(what - 3)];
                state = settle(state, at(now), &BUDGET, hold, checked, what % 2 == 0);
            } else {
                // No call has advanced the state to this time, which may be earlier than its own.
                continue;
            }
            prop_assert!(state.expires_at(&BUDGET) <= at(now + 3600 + 100 + 100));
        }
    }
}
