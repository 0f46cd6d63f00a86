//! The service metrics in Prometheus are correct, with two replicas and while their store fails.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use serde_json::json;
use skriptoteket_testing::{prometheus::Sample, stores::raw};
use sqlx::Executor;

use crate::end_to_end::{
    machines::{Machine, forged},
    pace::SLACK,
    services::SERVICES,
    world::World,
};

/// The store timeout is part of the time until a gauge is absent, and is not shortened.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// The interval of the service census at this pace.
const ROLL_CALL: Duration = Duration::from_millis(250);

const ACTIVE: &str = "max(skriptoteket_active_services)";
const REGISTERED: &str = r#"max(skriptoteket_service_registrations_total{event="registered"})"#;

/// All gauges that are read from the register of services.
const GAUGES: &str = r#"{__name__=~"skriptoteket_(active_services|services_by_health|service_health|credential_expiry_seconds|signing_key_age_seconds)"}"#;

fn by<const N: usize>(pairs: [(&str, f64); N]) -> BTreeMap<String, f64> {
    let owned = |(name, value): (&str, f64)| (name.to_owned(), value);
    pairs.map(owned).into()
}

/// Asserts the expected values. The gauges that are waited for first are exported last: once Prometheus has them, it
/// has all.
async fn assert_truth(world: &World) {
    let prometheus = &world.prometheus;
    prometheus.until_is(ACTIVE, 2.0).await;
    // Only one replica exports the shared values.
    for once in [
        "count(skriptoteket_active_services)",
        r#"count(skriptoteket_services_by_health{health="healthy"})"#,
        r#"count(skriptoteket_service_health{service_id="one", health="healthy"})"#,
        r#"count(skriptoteket_service_registrations_total{event="registered"})"#,
        "count(skriptoteket_signing_key_age_seconds)",
    ] {
        prometheus.until_is(once, 1.0).await;
    }
    let health = "max by (health) (skriptoteket_services_by_health)";
    let expected = [
        ("degraded", 0.0),
        ("disabled", 1.0),
        ("healthy", 2.0),
        ("stale", 0.0),
    ];
    prometheus.until_by("health", health, &by(expected)).await;
    for (id, health) in [
        ("off", "disabled"),
        ("one", "healthy"),
        ("other", "healthy"),
    ] {
        let of =
            format!("max by (health) (skriptoteket_service_health{{service_id=\"{id}\"}}) == 1");
        let only = by([(health, 1.0)]);
        prometheus.until_by("health", &of, &only).await;
    }
    let services = "count(count by (service_id) (skriptoteket_service_health))";
    prometheus.until_is(services, 3.0).await;
    prometheus.until_is(REGISTERED, 3.0).await;
    let rotated = r#"max(skriptoteket_credential_rotations_total{result="success"})"#;
    prometheus.until_is(rotated, 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_has_each_service_once_and_what_it_did_at_all_replicas() {
    let timeout = format!("{}ms", STORE_TIMEOUT.as_millis());
    let mut world = World::start(SERVICES, &[("store_timeout", &timeout)]).await;
    world.launch_both().await;
    let (first, second) = (world.replica(0), world.replica(1));
    let admin = first.admin().await;
    let terms = json!({"rate": "1/h", "burst": 8, "daily_quota": 100});
    let one = Machine::register(first, &admin, "one", &terms).await;
    let mut other = Machine::register(second, &second.admin().await, "other", &json!({})).await;
    let off = Machine::register(first, &admin, "off", &json!({})).await;
    off.disable(first, &admin).await;
    other.rotate(first, &admin).await;

    // Three tokens and five requests use up the limit of eight, at whichever replica.
    let (mut authenticated, mut refused) = (0.0, 0.0);
    let mut tokens = Vec::new();
    for service in [first, first, second] {
        tokens.push(one.token(service).await);
        authenticated += 1.0;
    }
    for (n, status) in [(0, 200), (1, 200), (1, 200), (0, 200), (1, 200), (0, 429)] {
        let service = world.replica(n);
        assert_eq!(one.check(service, &tokens[0]).await, status);
        authenticated += 1.0;
    }
    for service in [first, second, second] {
        let answer = one.ask_token(service, "sks_of-somebody-else").await;
        assert_eq!(answer.status(), 401);
        assert_eq!(one.check(service, &forged(&tokens[0])).await, 401);
        refused += 1.0;
    }
    let prometheus = &world.prometheus;
    for (expression, expected) in [
        (
            r#"sum(skriptoteket_successful_auths_total{service_id="one"})"#,
            authenticated,
        ),
        (
            r#"sum(skriptoteket_failed_auths_total{service_id="one", reason="bad_secret"})"#,
            refused,
        ),
        (
            r#"sum(skriptoteket_token_verifications_total{status="valid"})"#,
            6.0,
        ),
        (
            r#"sum(skriptoteket_token_verifications_total{service_id="_other", status="bad_signature"})"#,
            refused,
        ),
        (
            r#"sum(skriptoteket_rate_limit_exceeded_total{service_id="one", limit_type="requests"})"#,
            1.0,
        ),
        // The second replica last saw seven requests, the first all eight.
        (
            r#"max(skriptoteket_rate_limit_current{service_id="one", limit_type="requests"})"#,
            8.0,
        ),
        (
            r#"max(skriptoteket_rate_limit_allowed{service_id="one", limit_type="requests"})"#,
            8.0,
        ),
        (
            r#"max(skriptoteket_rate_limit_current{service_id="one", limit_type="daily_quota"})"#,
            8.0,
        ),
    ] {
        prometheus.until_is(expression, expected).await;
    }
    assert_truth(&world).await;

    // The replica that exports the gauges is stopped, and the other one takes over.
    let began = SystemTime::now();
    world.stop(0).await;
    tokio::time::sleep(world.delivery() + SERVICES.expiration()).await;
    assert_truth(&world).await;
    let step = Duration::from_millis(100);
    for (expression, value) in [(ACTIVE, 2.0), (REGISTERED, 3.0)] {
        let values = world.prometheus.history(expression, began, step).await;
        assert!(values.iter().all(|it| *it == value), "{values:?}");
    }
    assert_absent_while_the_store_fails(&world, &other).await;
}

/// Makes the services unreadable by renaming a table, and restores it.
async fn assert_absent_while_the_store_fails(world: &World, machine: &Machine) {
    let mut file = raw(&world.database()).await;
    let failed_at = SystemTime::now();
    file.execute("ALTER TABLE service_register RENAME TO taken_away")
        .await
        .unwrap();
    // Two service censuses may fail; then exports omit the gauges, and the Collector's data expire.
    let believed = 2 * ROLL_CALL + 2 * STORE_TIMEOUT;
    let limit = believed + SERVICES.expiration() + 2 * world.delivery() + SLACK;
    let absent = |found: &[Sample]| found.is_empty();
    let prometheus = &world.prometheus;
    let took = prometheus
        .until("gauges are absent", GAUGES, limit, absent)
        .await;
    let asked = machine
        .ask_token(world.replica(1), &machine.caller.secret)
        .await;
    assert!(asked.status().is_server_error(), "{}", asked.status());
    tokio::time::sleep(world.delivery()).await;
    assert!(prometheus.query(GAUGES).await.is_empty());
    let step = Duration::from_millis(100);
    let active = prometheus.history(ACTIVE, failed_at, step).await;
    assert!(active.iter().all(|it| *it == 2.0), "{active:?}");
    // A total stays: it keeps its value.
    prometheus.until_is(REGISTERED, 3.0).await;

    file.execute("ALTER TABLE taken_away RENAME TO service_register")
        .await
        .unwrap();
    let back = prometheus.until_is(ACTIVE, 2.0).await;
    eprintln!(
        "services cannot be read: their gauges were gone after {took:.1?}, and back after {back:.1?}"
    );
    assert!(
        back < ROLL_CALL + 2 * STORE_TIMEOUT + world.delivery() + SLACK,
        "{back:?}"
    );
    assert_truth(world).await;
}
