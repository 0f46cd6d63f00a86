//! Failing and misused services, and the alerts that detect them.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use reqwest::Client;
use serde_json::json;
use skriptoteket_testing::prometheus::Prometheus;

use crate::end_to_end::{
    attacks::LIMIT,
    machines::{Machine, forged},
    pace::Pace,
    world::{REPLICAS, World},
};

/// Two of these alerts wait for ten minutes. At this pace windows still have as many samples as in production.
pub(crate) const SERVICES: Pace = Pace(30);

/// A service is stale here after this time without a heartbeat. The other services send one every round.
const STALE_AFTER: &str = "15s";

/// Less than the two weeks before expiry at which a secret is reported. A threshold and not the window of a rule: it is
/// not shortened.
const SHORT_LIFETIME: &str = "13d";

/// Alerts, each with the id of its service; empty where an alert is about all services.
type Alerts = BTreeSet<(String, String)>;

fn alerts(alerts: &[(&str, &str)]) -> Alerts {
    let owned = |(alert, id): &(&str, &str)| ((*alert).to_owned(), (*id).to_owned());
    alerts.iter().map(owned).collect()
}

/// Repeats the traffic until all of these alerts fire. Returns all that fired meanwhile.
async fn until_firing(
    prometheus: &Prometheus,
    wanted: &Alerts,
    mut trouble: impl AsyncFnMut(usize),
) -> Alerts {
    let started_at = Instant::now();
    for round in 0.. {
        trouble(round).await;
        let fired = prometheus
            .fired_of("service_id", started_at.elapsed())
            .await;
        if wanted.is_subset(&fired) {
            eprintln!("{wanted:?} after {:.1?}", started_at.elapsed());
            return fired;
        }
        assert!(
            started_at.elapsed() < LIMIT,
            "{:?} did not fire, {fired:?} did",
            wanted.difference(&fired)
        );
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    unreachable!("the rounds did not end in time")
}

/// Returns a service that has used nine of ten requests, and its token.
async fn nearly_full(world: &World, admin: &Client) -> (Machine, String) {
    let service = world.replica(1);
    let terms = json!({"rate": "1/h", "burst": 10});
    let machine = Machine::register(service, admin, "nearly-full", &terms).await;
    // The token request is charged too.
    let token = machine.token(service).await;
    for _ in 0..8 {
        assert_eq!(machine.check(service, &token).await, 200);
    }
    (machine, token)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_trouble_of_services_is_told_of_and_of_whose_it_is() {
    let settings = [
        ("store_timeout", "5s"),
        ("service_stale_after", STALE_AFTER),
        ("service_limit_failure", "open"),
    ];
    let mut world = World::start(SERVICES, &settings).await;
    // Secrets that are issued here expire soon.
    let short = [("service_credential_lifetime", SHORT_LIFETIME)];
    world.launch(0, &short).await;
    world.launch(1, &[]).await;
    // At this pace `TelemetryAbsent` fires while a slow machine starts the replicas. It has resolved by then.
    world.prometheus.until_is(REPLICAS, 2.0).await;
    tokio::time::sleep(world.delivery()).await;
    let (first, second) = (world.replica(0), world.replica(1));
    let admin = second.admin().await;
    let started_at = Instant::now();
    let usual = json!({});
    // This service never sends anything.
    Machine::register(second, &admin, "silent", &usual).await;
    let at_first = first.admin().await;
    let expiring = Machine::register(first, &at_first, "expiring", &usual).await;
    let barred = Machine::register(second, &admin, "barred", &usual).await;
    let once_an_hour = json!({"rate": "1/h", "burst": 1});
    let greedy = Machine::register(second, &admin, "greedy", &once_an_hour).await;
    let (nearly_full, nearly_fulls) = nearly_full(&world, &admin).await;
    let mut moving = Machine::register(second, &admin, "moving", &usual).await;
    let retired = moving.rotate(second, &admin).await;
    let mut tokens = vec![(&nearly_full, nearly_fulls)];
    for machine in [&expiring, &barred, &moving, &greedy] {
        tokens.push((machine, machine.token(second).await));
    }

    let trouble = alerts(&[
        ("TokenVerificationFailures", ""),
        ("ServiceAuthFailures", "barred"),
        ("RateLimitRejecting", "greedy"),
        ("RateLimitSaturation", "greedy"),
        ("RateLimitSaturation", "nearly-full"),
        ("RetiredCredentialInUse", "moving"),
        ("ServiceCredentialExpiresSoon", "expiring"),
        ("ServiceStale", "silent"),
    ]);
    until_firing(&world.prometheus, &trouble, async |round| {
        let service = world.replica(round % 2);
        for (machine, token) in &tokens {
            machine.heartbeat(service, token).await;
            let status = machine.check(service, &forged(token)).await;
            assert_eq!(status, 401, "{}", machine.caller.id);
        }
        for _ in 0..3 {
            let answer = barred.ask_token(service, "sks_of-somebody-else").await;
            assert_eq!(answer.status(), 401);
        }
        assert_eq!(greedy.check(service, &tokens[4].1).await, 429);
        let answer = moving.ask_token(service, &retired).await;
        assert_eq!(answer.status(), 200, "the overlap is a day");
    })
    .await;
    let fired = world
        .prometheus
        .fired_of("service_id", started_at.elapsed());
    assert_eq!(fired.await, trouble, "and no other");

    world.redis.freeze();
    let unchecked = alerts(&[("RateLimitFailingOpen", "")]);
    until_firing(&world.prometheus, &unchecked, async |round| {
        let (machine, token) = &tokens[1];
        let passed = machine.check(world.replica(round % 2), token).await;
        assert_eq!(passed, 200);
    })
    .await;
    world.redis.thaw();
}
