//! Properties of a plan, over seeds.

use super::*;
use crate::cli::demo::machines::{INVENTORY, Job, OVERLAP};

fn plan(seed: u64) -> Plan {
    let day = Day::lasting(Duration::from_mins(4));
    Plan::new(seed, day, &Cast::assemble(""))
}

fn within(seed: u64, seconds: u64) -> Vec<Step> {
    let until = Duration::from_secs(seconds);
    plan(seed).take_while(|step| step.at < until).collect()
}

#[test]
fn the_same_seed_makes_the_same_plan_and_another_one_another() {
    assert_eq!(within(7, 60), within(7, 60));
    assert_ne!(within(7, 60), within(8, 60));
}

#[test]
fn no_second_has_more_than_twenty_requests_and_none_waits_long() {
    for seed in 0..8 {
        let mut plan = plan(seed);
        let mut before = Duration::ZERO;
        while before < Duration::from_mins(10) {
            let step = plan.next().unwrap();
            assert!(step.at >= before + LEAST_GAP);
            before = step.at;
            let ((due, _), _) = plan.agenda.first_key_value().unwrap();
            let late = before.saturating_sub(*due);
            assert!(late < Duration::from_secs(3), "{late:?} late at {before:?}");
        }
    }
}

#[test]
fn eight_seconds_show_a_bit_of_everything() {
    type Kind = fn(&Act) -> bool;
    let kinds: [Kind; 15] = [
        |act| matches!(act, Act::AtDevice(_, Task::Login { .. })),
        |act| matches!(act, Act::AtDevice(_, Task::Look)),
        |act| matches!(act, Act::AtDevice(_, Task::Mistype)),
        |act| {
            matches!(
                act,
                Act::Guess(Guess {
                    target: Target::Person(_),
                    ..
                })
            )
        },
        |act| {
            matches!(
                act,
                Act::Guess(Guess {
                    target: Target::Nobody(_),
                    ..
                })
            )
        },
        |act| matches!(act, Act::Operate(Order::LookAround)),
        |act| matches!(act, Act::Operate(Order::ChangeRole(..))),
        |act| matches!(act, Act::Operate(Order::Revoke(_))),
        |act| matches!(act, Act::Operate(Order::SetDisabled(_, true))),
        |act| matches!(act, Act::Operate(Order::RotateSecret(_))),
        |act| matches!(act, Act::Machine(_, Job::Work)),
        |act| matches!(act, Act::Machine(_, Job::Heartbeat)),
        |act| matches!(act, Act::Machine(_, Job::UseRetired)),
        |act| matches!(act, Act::Machine(_, Job::GiveBack)),
        |act| matches!(act, Act::Machine(_, Job::Mistype)),
    ];
    for seed in 0..20 {
        let steps = within(seed, 8);
        for (index, kind) in kinds.into_iter().enumerate() {
            let any = steps.iter().any(|step| kind(&step.act));
            assert!(any, "seed {seed} has no act of kind {index}");
        }
    }
}

#[test]
fn the_afternoon_has_several_times_the_logins_of_the_night() {
    let steps = within(1, 240);
    // 13:00 to 17:00 against 01:00 to 05:00.
    let logins = |from: u64, to: u64| {
        let times = Duration::from_secs(from)..Duration::from_secs(to);
        let login = |act: &Act| matches!(act, Act::AtDevice(_, Task::Login { .. }));
        let wanted = steps
            .iter()
            .filter(|it| times.contains(&it.at) && login(&it.act));
        wanted.count()
    };
    let (day, night) = (logins(50, 90), logins(170, 210));
    assert!(
        day > 3 * night && night > 0,
        "{day} by day, {night} by night"
    );
}

#[test]
fn a_role_that_was_changed_is_changed_back() {
    let cast = Cast::assemble("");
    let changes = within(3, 300)
        .into_iter()
        .filter_map(|step| match step.act {
            Act::Operate(Order::ChangeRole(person, role)) => Some((person, role)),
            _ => None,
        });
    let changes: Vec<_> = changes.collect();
    assert!(changes.len() > 10);
    for pair in changes.chunks_exact(2) {
        let ((person, to), (same, back)) = (pair[0], pair[1]);
        assert_eq!(person, same);
        assert_ne!(to, cast.people[person].role);
        assert_eq!(back, cast.people[person].role);
    }
}

#[test]
fn a_replaced_secret_is_used_while_it_is_accepted_and_once_when_it_is_not() {
    for seed in 0..20 {
        let mut rotated = Duration::ZERO;
        let (mut early, mut late) = (0, 0);
        for step in within(seed, 300) {
            match step.act {
                Act::Operate(Order::RotateSecret(_)) => rotated = step.at,
                Act::Machine(INVENTORY, Job::UseRetired) if step.at < rotated + OVERLAP => {
                    early += 1;
                }
                Act::Machine(INVENTORY, Job::UseRetired) => late += 1,
                _ => {}
            }
        }
        // The overlap of the last rotation may not have ended.
        let each_twice = (2 * late..=2 * late + 2).contains(&early);
        assert!(each_twice && late >= 3, "seed {seed}: {early}, {late}");
    }
}
