//! A Collector that is down, and a store that does not respond.

use std::time::{Duration, Instant, SystemTime};

use skriptoteket_testing::{prometheus::Sample, variables::number};

use crate::end_to_end::{
    pace::{Pace, SLACK, TEST},
    world::{LIVE, USERS, Visitor, World, add_accounts},
};

/// Logins before the Collector is stopped, for comparison.
const BEFORE: u32 = 40;

/// A gauge that no replica can measure must be gone from Prometheus within this time.
const ABSENT: Duration = Duration::from_mins(1);

/// The store timeout is part of [`ABSENT`] and is not shortened: a small machine needs it.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

fn pace() -> Pace {
    number("PIPELINE_PACE").map_or(TEST, |it| Pace(u32::try_from(it).unwrap()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_collector_people_log_in_as_before_and_nothing_they_did_is_lost() {
    let away = Duration::from_secs(number("PIPELINE_AWAY_SECONDS").unwrap_or(20));
    let mut world = World::start(
        pace(),
        &[("store_timeout", "5s"), ("max_sessions_per_user", "5")],
    )
    .await;
    world.launch(0, &[]).await;
    let mut visitor = Visitor::new();
    let accounts = [(String::from("ada"), "user")];
    add_accounts(world.replica(0), &mut visitor.done, &accounts).await;
    for _ in 0..BEFORE {
        visitor.log_in(world.replica(0), "ada").await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let before = visitor.median();

    world.collector.stop();
    let started_at = Instant::now();
    while started_at.elapsed() < away {
        visitor.log_in(world.replica(0), "ada").await;
        visitor.mistype(world.replica(0)).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let without = visitor.median();
    eprintln!("median of the logins: {before:?}, without the Collector {without:?}");
    assert!(
        without < 3 * before + Duration::from_millis(250),
        "median of the logins: {before:?} before, {without:?} without the Collector"
    );
    let absent = |found: &[Sample]| found.is_empty();
    let prometheus = &world.prometheus;
    prometheus
        .until(
            "no old data is exported",
            LIVE,
            prometheus.time_limit(),
            absent,
        )
        .await;

    world.collector.start_again();
    let done = visitor.done;
    for (expression, expected) in [
        (
            r#"sum(skriptoteket_logins_total{status="success"})"#,
            done.logins,
        ),
        (
            r#"sum(skriptoteket_logins_total{status="failure"})"#,
            done.failures,
        ),
        (
            "sum(max by (role) (skriptoteket_sessions_started_total))",
            done.logins,
        ),
        // The latest five of ada, and that of the superuser.
        (LIVE, 6.0),
    ] {
        world.prometheus.until_is(expression, expected).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_store_is_frozen_gauges_are_absent_and_never_old_or_zero() {
    let pace = pace();
    let timeout = format!("{}ms", STORE_TIMEOUT.as_millis());
    let mut world = World::start(pace, &[("store_timeout", &timeout)]).await;
    world.launch_both().await;
    let mut visitor = Visitor::new();
    let accounts = [(String::from("ada"), "user")];
    add_accounts(world.replica(0), &mut visitor.done, &accounts).await;
    for _ in 0..3 {
        visitor.log_in(world.replica(1), "ada").await;
    }
    world.prometheus.until_is(LIVE, 4.0).await;

    let froze_at = SystemTime::now();
    world.redis.freeze();
    let limit = pace.of(ABSENT.saturating_sub(STORE_TIMEOUT)) + STORE_TIMEOUT + SLACK;
    let absent = |found: &[Sample]| found.is_empty();
    let any = r#"{__name__=~"skriptoteket_(active_sessions|users_by_role|sessions_by_role)"}"#;
    let took = world
        .prometheus
        .until("gauges are absent", any, limit, absent)
        .await;
    let stale = r#"ALERTS{alertname="SessionCensusStale"}"#;
    let told = |found: &[Sample]| !found.is_empty();
    world
        .prometheus
        .until("it is pending", stale, limit, told)
        .await;
    let up = "max(skriptoteket_session_census_up)";
    world.prometheus.until_is(up, 0.0).await;
    // It stays absent; meanwhile the `for` of the alert has elapsed.
    let firing = r#"ALERTS{alertname="SessionCensusStale", alertstate="firing"}"#;
    world
        .prometheus
        .until("it fires", firing, 4 * limit, told)
        .await;
    assert!(world.prometheus.query(any).await.is_empty());
    let step = Duration::from_millis(100);
    let live = world.prometheus.history(LIVE, froze_at, step).await;
    assert!(live.iter().all(|it| *it == 4.0), "{live:?}");
    let shown = step * u32::try_from(live.len()).unwrap();
    assert!(shown <= took + 2 * step, "{shown:?}, then {took:?}");
    eprintln!("frozen store: the gauges were gone after {took:.1?}, and {limit:.1?} are allowed");

    world.redis.thaw();
    world.prometheus.until_is(LIVE, 4.0).await;
    let users = [
        ("user", 1.0),
        ("contributor", 0.0),
        ("admin", 0.0),
        ("superuser", 1.0),
    ];
    let users = users.map(|(role, users)| (role.to_owned(), users)).into();
    world.prometheus.until_by("role", USERS, &users).await;
    world
        .prometheus
        .until("it is over", stale, world.prometheus.time_limit(), absent)
        .await;
}
