//! Properties of a plan, over seeds.

use std::{collections::BTreeSet, net::IpAddr};

use super::*;
use crate::cli::demo::machines::{INVENTORY, Job, OVERLAP};

const DAY: Duration = Duration::from_mins(4);

fn plan(seed: u64, day: Duration) -> Plan {
    Plan::new(seed, Day::lasting(day), &Cast::assemble(""))
}

fn within(seed: u64, seconds: u64) -> Vec<Step> {
    let until = Duration::from_secs(seconds);
    plan(seed, DAY).take_while(|step| step.at < until).collect()
}

#[test]
fn the_same_seed_makes_the_same_plan_and_another_one_another() {
    assert_eq!(within(7, 60), within(7, 60));
    assert_ne!(within(7, 60), within(8, 60));
}

#[test]
fn no_second_has_more_than_twenty_requests_and_none_waits_long() {
    let short = [(8, Duration::from_secs(1)), (9, Duration::from_mins(1))];
    let long = [(10, Duration::from_mins(15)), (11, Duration::from_hours(1))];
    let usual = (0..8).map(|seed| (seed, DAY));
    for (seed, day) in usual.chain(short).chain(long) {
        let mut plan = plan(seed, day);
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
    // 13:00 to 17:00 against 01:00 to 05:00.
    let logins = |from: u64, to: u64| {
        let times = Duration::from_secs(from)..Duration::from_secs(to);
        let login = |act: &Act| matches!(act, Act::AtDevice(_, Task::Login { .. }));
        let steps = (0..5).flat_map(|seed| within(seed, 240));
        steps
            .filter(|it| times.contains(&it.at) && login(&it.act))
            .count()
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

/// The longest lock of the demo's own service.
const LOCK: Duration = Duration::from_secs(20);

/// The failed logins that lock an account of the demo's own service.
const ATTEMPTS: usize = 6;

/// The login attempts of a plan.
struct Attempts {
    /// Those of users and of lone attackers: when, and whether the service accepts them.
    ordinary: Vec<(Duration, bool)>,
    /// Bursts of guesses from one network.
    attacks: Vec<Vec<(Duration, Guess)>>,
}

impl Attempts {
    fn of(steps: &[Step]) -> Self {
        let cast = Cast::assemble("");
        let (attacks, lone): (Vec<_>, Vec<_>) =
            bursts(steps).into_iter().partition(|it| it.len() >= 10);
        let mut ordinary: Vec<_> = lone.iter().flatten().map(|(at, _)| (*at, false)).collect();
        let mut disabled = BTreeSet::new();
        for step in steps {
            match step.act {
                Act::Operate(Order::SetDisabled(person, true)) => _ = disabled.insert(person),
                Act::Operate(Order::SetDisabled(person, false)) => _ = disabled.remove(&person),
                Act::AtDevice(device, Task::Login { .. }) => {
                    let person = cast.devices[device].person;
                    let is_locked = attacks.iter().any(|it| may_be_locked(it, person, step.at));
                    ordinary.push((step.at, !is_locked && !disabled.contains(&person)));
                }
                Act::AtDevice(_, Task::Mistype | Task::Lured) => ordinary.push((step.at, false)),
                _ => {}
            }
        }
        Self { ordinary, attacks }
    }

    /// Returns the attempts and the successes of ordinary traffic among those that are `wanted`.
    fn ordinary(&self, wanted: impl Fn(Duration) -> bool) -> [usize; 2] {
        let wanted = self.ordinary.iter().filter(|(at, _)| wanted(*at));
        wanted.fold([0, 0], |[all, good], (_, accepted)| {
            [all + 1, good + usize::from(*accepted)]
        })
    }
}

/// Groups the guesses from each network that follow one another within two seconds.
fn bursts(steps: &[Step]) -> Vec<Vec<(Duration, Guess)>> {
    let mut latest: BTreeMap<[u8; 3], Vec<(Duration, Guess)>> = BTreeMap::new();
    let mut bursts = Vec::new();
    for step in steps {
        let Act::Guess(guess) = step.act else {
            continue;
        };
        let IpAddr::V4(from) = guess.from else {
            panic!("{guess:?}");
        };
        let [a, b, c, _] = from.octets();
        let burst = latest.entry([a, b, c]).or_default();
        let follows = |(at, _): &(Duration, Guess)| step.at < *at + Duration::from_secs(2);
        if !burst.last().is_some_and(follows) {
            bursts.push(std::mem::take(burst));
        }
        burst.push((step.at, guess));
    }
    bursts.extend(latest.into_values());
    bursts
}

fn may_be_locked(attack: &[(Duration, Guess)], person: usize, at: Duration) -> bool {
    let guesses = attack
        .iter()
        .filter(|(_, guess)| guess.target == Target::Person(person));
    let times: Vec<Duration> = guesses.map(|(at, _)| *at).collect();
    times.len() > ATTEMPTS && (times[ATTEMPTS]..times[times.len() - 1] + LOCK).contains(&at)
}

/// The end of the fifth day of four minutes: the first one begins at eight.
const FIVE_DAYS: u64 = 5 * 240 - 80;

#[test]
fn nine_in_ten_ordinary_logins_succeed_on_every_day() {
    let day = Day::lasting(DAY);
    for seed in 0..20 {
        let attempts = Attempts::of(&within(seed, FIVE_DAYS));
        for number in ["1", "2", "3", "4", "5"] {
            let [all, good] = attempts.ordinary(|at| day.time(at).day() == number);
            let few = 10 * good < 9 * all;
            assert!(
                all > 200 && !few,
                "seed {seed}, day {number}: {good} of {all}"
            );
        }
    }
}

#[test]
fn every_day_has_one_attack_which_is_visible() {
    let day = Day::lasting(DAY);
    for seed in 0..20 {
        let attempts = Attempts::of(&within(seed, FIVE_DAYS));
        let started_at: Vec<Duration> = attempts.attacks.iter().map(|it| it[0].0).collect();
        let days: Vec<String> = started_at.iter().map(|at| day.time(*at).day()).collect();
        assert_eq!(days, ["1", "2", "3", "4", "5"], "seed {seed}");

        let [all, good] = attempts.ordinary(|_| true);
        let seconds = usize::try_from(FIVE_DAYS).unwrap();
        for (attack, started_at) in attempts.attacks.iter().zip(started_at) {
            let minute = started_at..started_at + Duration::from_mins(1);
            let guesses = attack.iter().filter(|(at, _)| minute.contains(at)).count();
            let [others, accepted] = attempts.ordinary(|at| minute.contains(&at));
            let failures = guesses + others - accepted;
            // Compared with an average minute.
            let usual = (all - good) * 60 / seconds;
            assert!(
                failures >= 5 * usual,
                "seed {seed}: {failures} failures in the minute of an attack, {usual} in others"
            );
        }
    }
}
