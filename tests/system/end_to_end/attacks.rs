//! Scripted attacks, and the alerts that detect them.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use skriptoteket_testing::{
    prometheus::Prometheus,
    service::{PASSWORD, Service},
};

use crate::end_to_end::{
    pace::{Pace, TEST},
    world::{LIVE, Visitor, World},
};

/// Maximum time until an attack or a fault raises its alert.
pub(crate) const LIMIT: Duration = Duration::from_mins(2);

/// A week takes ten minutes at this pace: an alert that compares with a week needs a day of data.
const WEEKS: Pace = Pace(1_000);
const DAY: Duration = Duration::from_hours(24);

/// Repeats an attack until all of these alerts fire.
async fn until_firing(prometheus: &Prometheus, wanted: &[&str], mut attack: impl AsyncFnMut(u32)) {
    let started_at = Instant::now();
    let wanted: BTreeSet<String> = wanted.iter().map(|it| (*it).to_owned()).collect();
    for round in 0.. {
        attack(round).await;
        let fired = prometheus.fired(started_at.elapsed()).await;
        if wanted.is_subset(&fired) {
            eprintln!("{fired:?} after {:.1?}", started_at.elapsed());
            return;
        }
        assert!(
            started_at.elapsed() < LIMIT,
            "{:?} did not fire, {fired:?} did",
            wanted.difference(&fired)
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Returns the `n`th address of an attacker; no two are the same.
fn address(n: u32) -> String {
    format!("198.18.{}.{}", n / 200, n % 200 + 1)
}

/// Sends one guess at each of many accounts, each from another address.
async fn spray(visitor: &mut Visitor, service: &Service, round: u32) {
    for n in 0..10 {
        let n = 10 * round + n;
        let name = format!("person-{n}");
        let answer = visitor
            .try_login(service, &address(n), &name, "Summer2026!")
            .await;
        assert_eq!(answer.status(), 401);
    }
}

/// Guesses at one account, which is soon locked, from many addresses.
async fn guess(visitor: &mut Visitor, service: &Service, round: u32) {
    for n in 0..10 {
        let n = 10 * round + n;
        let password = format!("guess-{n}");
        let answer = visitor
            .try_login(service, &address(10_000 + n), "admin", &password)
            .await;
        assert_ne!(answer.status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_attack_on_logins_and_sessions_is_told_of_within_two_minutes() {
    let settings = [("store_timeout", "5s"), ("max_sessions_per_user", "1000")];
    let mut world = World::start(TEST, &settings).await;
    world.launch_both().await;
    let started_at = Instant::now();
    let mut visitor = Visitor::new();

    let spraying = [
        "PasswordSprayingSuspected",
        "LoginFailureFlood",
        "LoginSuccessRatioLow",
        "NoSuccessfulLogins",
    ];
    // Both replicas are attacked. Neither sees enough to raise the alert a second time.
    let attack = async |round: u32| {
        let service = world.replica(usize::try_from(round % 2).unwrap());
        spray(&mut visitor, service, round).await;
    };
    until_firing(&world.prometheus, &spraying, attack).await;
    let fired = world.prometheus.fired(started_at.elapsed()).await;
    assert_eq!(fired, spraying.map(str::to_owned).into(), "and no other");

    let attack = async |round: u32| guess(&mut visitor, world.replica(0), round).await;
    until_firing(&world.prometheus, &["LoginBruteForceSuspected"], attack).await;

    // All sessions are revoked at once.
    let password = format!("{PASSWORD}\n");
    let add = ["user", "add", "ada", "--password-stdin"];
    world.command(&add, &password);
    for _ in 0..30 {
        visitor.log_in(world.replica(1), "ada").await;
    }
    world.prometheus.until_is(LIVE, 30.0).await;
    world.command(&["session", "revoke", "--all"], "");
    until_firing(&world.prometheus, &["ActiveSessionsDrop"], async |_| {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_surge_of_sessions_is_told_of_once_there_is_a_day_to_compare_with() {
    let settings = [("store_timeout", "5s"), ("max_sessions_per_user", "1000")];
    let mut world = World::start(WEEKS, &settings).await;
    world.launch(0, &[]).await;
    let mut visitor = Visitor::new();
    for _ in 0..10 {
        visitor.log_in(world.replica(0), "admin").await;
    }
    world.prometheus.until_is(LIVE, 10.0).await;
    tokio::time::sleep(WEEKS.of(DAY) + 2 * world.delivery()).await;
    let quiet = world.prometheus.fired(WEEKS.of(DAY)).await;
    assert!(!quiet.contains("ActiveSessionsSurge"), "{quiet:?}");
    for _ in 0..80 {
        visitor.log_in(world.replica(0), "admin").await;
    }
    until_firing(&world.prometheus, &["ActiveSessionsSurge"], async |_| {}).await;
}
