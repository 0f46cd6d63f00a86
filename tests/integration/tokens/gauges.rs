//! The values of the service gauges.

use std::{sync::Arc, time::Duration};

use skriptoteket::{
    clock::Clock,
    observer_state::ObserverState,
    services::{Health, HealthPolicy, ServiceCensus, ServiceChange, ServiceGauges},
};
use uuid::Uuid;

use crate::tokens::harness::{Harness, Replica};

const INTERVAL: Duration = Duration::from_secs(5);

fn called(harness: &Harness, replica: &Replica) -> (ServiceCensus, ObserverState) {
    let meters = replica
        .telemetry
        .service_wide(Uuid::nil())
        .unwrap()
        .meters();
    let observer = ObserverState::new(harness.clock());
    let gauges = ServiceGauges::new(&meters, observer.clone(), harness.clock(), 2 * INTERVAL);
    let policy = HealthPolicy {
        degraded_after: Duration::from_mins(1),
        stale_after: Duration::from_mins(10),
    };
    let stores = &replica.stores;
    let call = ServiceCensus::new(
        Arc::clone(&stores.services),
        Arc::clone(&stores.tokens),
        gauges,
        replica.service_cache.clone(),
        policy,
        harness.clock(),
        INTERVAL,
    );
    (call, observer)
}

fn health(replica: &Replica) -> [Option<f64>; 4] {
    Health::NAMES.map(|it| {
        let labels = [("health", it)];
        replica
            .metrics
            .gauge("skriptoteket.services_by_health", &labels)
    })
}

#[tokio::test]
async fn health_follows_the_last_sign_of_life() {
    let harness = Harness::new();
    let replica = harness.replica().await;
    let (call, observer) = called(&harness, &replica);
    let _ = observer.lease_acquired(1, Duration::ZERO, Duration::MAX);
    let (lively, silent) = (
        replica.register("lively").await,
        replica.register("silent").await,
    );
    let off = replica.register("off").await.service.id;
    let disabled = ServiceChange {
        disabled: Some(true),
        ..ServiceChange::default()
    };
    replica.registry.change(&off, disabled).await.unwrap();
    let active = || replica.metrics.gauge("skriptoteket.active_services", &[]);

    call.take().await.unwrap();
    assert_eq!(health(&replica), [2.0, 0.0, 0.0, 1.0].map(Some));
    harness.pass(Duration::from_secs(61));
    replica.token(&lively).await.unwrap();
    let now = harness.clock.now();
    replica.noted(&lively.service.id, Some(now)).await;
    call.take().await.unwrap();
    assert_eq!(health(&replica), [1.0, 1.0, 0.0, 1.0].map(Some));
    assert_eq!(active(), Some(2.0));
    harness.pass(Duration::from_mins(9));
    call.take().await.unwrap();
    assert_eq!(health(&replica), [0.0, 1.0, 1.0, 1.0].map(Some));
    let stale = [
        ("service_id", silent.service.id.as_str()),
        ("health", "stale"),
    ];
    let shown = replica.metrics.gauge("skriptoteket.service_health", &stale);
    assert_eq!((shown, active()), (Some(1.0), Some(1.0)));
    replica.registry.delete(&silent.service.id).await.unwrap();
    call.take().await.unwrap();
    assert_eq!(
        replica.metrics.gauge("skriptoteket.service_health", &stale),
        None
    );
}

#[tokio::test]
async fn a_sign_of_life_from_a_clock_that_was_ahead_keeps_nobody_healthy() {
    let harness = Harness::new();
    let replica = harness.replica().await;
    let (call, observer) = called(&harness, &replica);
    let _ = observer.lease_acquired(1, Duration::ZERO, Duration::MAX);
    let service = replica.register("orders").await.service.id;
    let right = harness.clock.now();
    harness.clock.set(right.plus(Duration::from_hours(9_600)));
    replica.clients.heartbeat(&service).await.unwrap();
    harness.clock.set(right);
    harness.pass(Duration::from_mins(11));
    call.take().await.unwrap();
    assert_eq!(health(&replica), [0.0, 0.0, 1.0, 0.0].map(Some));
    replica.clients.heartbeat(&service).await.unwrap();
    call.take().await.unwrap();
    assert_eq!(health(&replica), [1.0, 0.0, 0.0, 0.0].map(Some));
}

#[tokio::test]
async fn the_expiry_of_credentials_and_the_age_of_the_key_go_on_between_two_calls() {
    let harness = Harness::new();
    let replica = harness.replica().await;
    let (call, observer) = called(&harness, &replica);
    let _ = observer.lease_acquired(1, Duration::ZERO, Duration::MAX);
    let issued = replica.register("orders").await;
    call.take().await.unwrap();
    let label = [("service_id", "orders")];
    let left = || {
        replica
            .metrics
            .gauge("skriptoteket.credential_expiry", &label)
    };
    let age = || replica.metrics.gauge("skriptoteket.signing_key_age", &[]);
    let whole = harness.settings.credential_lifetime.as_secs_f64();
    assert_eq!((left(), age()), (Some(whole), Some(0.0)));
    harness.pass(INTERVAL);
    assert_eq!((left(), age()), (Some(whole - 5.0), Some(5.0)));
    harness.pass(harness.settings.credential_lifetime);
    assert_eq!(
        left(),
        None,
        "the census is too old to be considered current"
    );
    call.take().await.unwrap();
    assert_eq!(left(), Some(-5.0));
    replica
        .registry
        .rotate(&issued.service.id, None, false)
        .await
        .unwrap();
    call.take().await.unwrap();
    assert_eq!(left(), Some(whole));
}

const KEYS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","kid":"one",
    "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

#[tokio::test]
async fn a_service_that_signs_its_assertions_has_no_expiry_of_a_secret_to_show() {
    let harness = Harness::new();
    let replica = harness.replica().await;
    let (call, observer) = called(&harness, &replica);
    let _ = observer.lease_acquired(1, Duration::ZERO, Duration::MAX);
    let id = replica.register("nightly").await.service.id;
    let label = [("service_id", "nightly")];
    let left = || {
        replica
            .metrics
            .gauge("skriptoteket.credential_expiry", &label)
    };
    for (keys, shown) in [(Some(Arc::from(KEYS)), false), (None, true)] {
        let change = ServiceChange {
            public_keys: Some(keys),
            ..ServiceChange::default()
        };
        replica.registry.change(&id, change).await.unwrap();
        call.take().await.unwrap();
        assert_eq!(left().is_some(), shown);
    }
}

#[tokio::test]
async fn one_replica_shows_the_totals_that_all_have_made() {
    let harness = Harness::new();
    let (one, other) = (harness.replica().await, harness.replica().await);
    let (_, idle) = called(&harness, &one);
    let (call, observer) = called(&harness, &other);
    idle.lease_held_elsewhere(1, Duration::ZERO, Duration::MAX);
    let _ = observer.lease_acquired(1, Duration::ZERO, Duration::MAX);
    let id = one.register("orders").await.service.id;
    other.register("billing").await;
    one.registry.rotate(&id, None, false).await.unwrap();
    assert!(one.registry.rotate(&id, None, false).await.is_err());
    one.registry.delete(&id).await.unwrap();
    call.take().await.unwrap();
    let total = |replica: &Replica, name: &str, label| replica.metrics.counter(name, &[label]);
    let registered = |replica: &Replica, event| {
        total(
            replica,
            "skriptoteket.service_registrations",
            ("event", event),
        )
    };
    let rotated = |result| {
        total(
            &other,
            "skriptoteket.credential_rotations",
            ("result", result),
        )
    };
    assert_eq!(registered(&other, "registered"), Some(2));
    assert_eq!(registered(&other, "deleted"), Some(1));
    assert_eq!((rotated("success"), rotated("refused")), (Some(1), Some(1)));
    assert_eq!(registered(&one, "registered"), None);
}
