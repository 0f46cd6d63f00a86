//! How soon a replica sees another one's changes.

use std::{sync::Arc, time::Duration};

use skriptoteket::services::{FRESH, LimitChange, SKEW, ServiceChange};

use crate::tokens::harness::{Harness, Replica, reason, with_secret};

async fn pair(harness: &Harness) -> (Replica, Replica) {
    (harness.replica().await, harness.replica().await)
}

fn disabled() -> ServiceChange {
    ServiceChange {
        disabled: Some(true),
        ..ServiceChange::default()
    }
}

#[tokio::test]
async fn a_token_of_one_replica_is_good_on_the_other() {
    let harness = Harness::new();
    let (one, other) = pair(&harness).await;
    let issued = one.register("orders").await;
    let token = one.token(&issued).await.unwrap();
    let claims = other.comes_with(&token).await.unwrap();
    assert_eq!(claims.service, issued.service.id);
    assert_eq!((one.succeeded("orders"), other.succeeded("orders")), (1, 1));
}

#[tokio::test]
async fn what_a_replica_does_it_sees_at_once_and_the_others_within_half_a_second() {
    let harness = Harness::new();
    let (one, other) = pair(&harness).await;
    let (kept, revoked) = (one.register("kept").await, one.register("revoked").await);
    let (a, b) = (
        one.token(&kept).await.unwrap(),
        one.token(&revoked).await.unwrap(),
    );
    assert!(other.comes_with(&a).await.is_ok() && other.comes_with(&b).await.is_ok());

    one.registry
        .change(&kept.service.id, disabled())
        .await
        .unwrap();
    one.revoke(with_secret(&revoked), &b).await.unwrap();

    assert_eq!(one.comes_with(&a).await.err(), Some("disabled"));
    assert_eq!(one.comes_with(&b).await.err(), Some("revoked_token"));
    harness.pass(FRESH);
    assert_eq!(other.comes_with(&a).await.err(), Some("disabled"));
    assert_eq!(other.comes_with(&b).await.err(), Some("revoked_token"));
    assert!(FRESH <= Duration::from_secs(1));
}

#[tokio::test]
async fn a_revoked_token_stays_revoked_until_no_clock_would_take_it() {
    let harness = Harness::new();
    let (one, other) = pair(&harness).await;
    let issued = one.register("orders").await;
    let token = one.token(&issued).await.unwrap();
    one.revoke(with_secret(&issued), &token).await.unwrap();
    // Within the clock skew after its expiry, on a replica that learns of the revocation only now.
    harness.pass(harness.settings.token_lifetime + SKEW / 2);
    one.register("billing").await;
    for replica in [&one, &other] {
        assert_eq!(
            replica.comes_with(&token).await.err(),
            Some("revoked_token")
        );
    }
    harness.pass(SKEW / 2);
    assert_eq!(other.comes_with(&token).await.err(), Some("expired_token"));
}

#[tokio::test]
async fn what_limits_allow_is_shown_as_configured_by_replicas_that_no_request_meets() {
    let harness = Harness::new();
    let (one, other) = pair(&harness).await;
    let issued = one.register("orders").await;
    let id = &issued.service.id;
    let allowed = |replica: &Replica, limit| {
        let labels = [("limit_type", limit), ("service_id", "orders")];
        let gauge = "skriptoteket.rate_limit_allowed";
        replica.metrics.gauge(gauge, &labels)
    };
    for (burst, daily_quota) in [(7, Some(1_000)), (3, Some(100)), (9, None)] {
        let limits = LimitChange {
            interval: None,
            burst: Some(burst),
            daily_quota: Some(daily_quota),
        };
        let change = ServiceChange {
            limits,
            ..ServiceChange::default()
        };
        one.registry.change(id, change).await.unwrap();
        harness.pass(FRESH);
        // As the service census of each replica does.
        for replica in [&one, &other] {
            replica.service_cache.snapshot().await.unwrap();
            assert_eq!(allowed(replica, "requests"), Some(f64::from(burst)));
            let daily = daily_quota.map(|quota| f64::from(u32::try_from(quota).unwrap()));
            assert_eq!(allowed(replica, "daily_quota"), daily);
        }
    }
}

#[tokio::test]
async fn a_service_that_was_deleted_shows_no_use_of_limits_on_any_replica() {
    let harness = Harness::new();
    let (one, other) = pair(&harness).await;
    let issued = one.register("orders").await;
    let shown = |replica: &Replica| {
        let labels = [("limit_type", "requests"), ("service_id", "orders")];
        replica
            .metrics
            .gauge("skriptoteket.rate_limit_current", &labels)
    };
    for replica in [&one, &other] {
        harness.pass(FRESH);
        replica.token(&issued).await.unwrap();
        assert!(shown(replica).is_some());
    }
    one.registry.delete(&issued.service.id).await.unwrap();
    assert_eq!(shown(&one), None);
    harness.pass(FRESH);
    assert!(other.token(&issued).await.is_err());
    assert_eq!(shown(&other), None);
}

#[tokio::test]
async fn a_service_that_was_deleted_and_registered_again_is_another_one() {
    let harness = Harness::new();
    let (one, other) = pair(&harness).await;
    let first = one.register("orders").await;
    let token = one.token(&first).await.unwrap();
    one.registry.delete(&first.service.id).await.unwrap();
    assert_eq!(one.comes_with(&token).await.err(), Some("unknown_service"));
    let second = one.register("orders").await;
    harness.pass(FRESH);
    assert_eq!(
        other.comes_with(&token).await.err(),
        Some("unknown_service")
    );
    let token = other.token(&second).await.unwrap();
    assert!(one.comes_with(&token).await.is_ok());
}

#[tokio::test]
async fn without_its_store_a_replica_believes_nobody() {
    let harness = Harness::new();
    let replica = harness.replica().await;
    let issued = replica.register("orders").await;
    let token = replica.token(&issued).await.unwrap();
    assert!(replica.comes_with(&token).await.is_ok());
    replica.stores.close().await;
    harness.pass(FRESH);
    assert_eq!(
        replica.comes_with(&token).await.err(),
        Some("store_unavailable")
    );
    let asked = replica.token(&issued).await;
    assert_eq!(reason(&asked), Some("store_unavailable"));
    // The client has named itself, but a token that has not been verified names no service.
    assert_eq!(replica.failed("orders", "store_unavailable"), 1);
    assert_eq!(replica.failed("_other", "store_unavailable"), 1);
}

#[tokio::test]
async fn what_another_replica_has_just_made_is_not_refused() {
    let harness = Harness::new();
    let (one, other) = pair(&harness).await;
    let old = one.register("orders").await;
    assert!(other.token(&old).await.is_ok());
    // The cached snapshot is recent enough for what it contains.
    harness.pass(FRESH / 5);
    let new = one.register("billing").await;
    let token = one.token(&new).await.unwrap();
    assert!(other.comes_with(&token).await.is_ok());
    harness.pass(FRESH / 5);
    let rotated = one.registry.rotate(&old.service.id, None, false);
    let rotated = rotated.await.unwrap();
    assert!(other.token(&rotated).await.is_ok());
    for (disable, seen) in [(true, Some("disabled")), (false, None)] {
        harness.pass(FRESH / 5);
        let change = ServiceChange {
            disabled: Some(disable),
            ..ServiceChange::default()
        };
        one.registry.change(&new.service.id, change).await.unwrap();
        // For data that would be accepted, the replica does not query the store earlier than required.
        harness.pass(if disable { FRESH } else { FRESH / 5 });
        assert_eq!(other.comes_with(&token).await.err(), seen);
        assert_eq!(reason(&other.token(&new).await), seen);
    }
    assert_eq!(other.failed("orders", "bad_secret"), 0);
    assert_eq!(other.failed("_other", "unknown_service"), 0);
}

/// The clock does not advance: the other replica asked the store immediately before each change.
#[tokio::test]
async fn a_change_right_after_a_read_is_seen_before_a_request_is_rejected() {
    let harness = Harness::new();
    let (one, other) = pair(&harness).await;
    let old = one.register("orders").await;
    assert!(other.token(&old).await.is_ok());

    let new = one.register("billing").await;
    let token = one.token(&new).await.unwrap();
    assert!(other.token(&new).await.is_ok());
    let another = one.register("shipping").await;
    let of_another = one.token(&another).await.unwrap();
    assert!(other.comes_with(&of_another).await.is_ok());

    let rotated = one.registry.rotate(&old.service.id, None, false);
    assert!(other.token(&rotated.await.unwrap()).await.is_ok());

    let disable = async |disabled| {
        let change = ServiceChange {
            disabled: Some(disabled),
            ..ServiceChange::default()
        };
        one.registry.change(&new.service.id, change).await.unwrap();
    };
    disable(true).await;
    harness.pass(FRESH);
    assert_eq!(other.comes_with(&token).await.err(), Some("disabled"));
    disable(false).await;
    assert!(other.comes_with(&token).await.is_ok());

    assert_eq!(other.failed("_other", "unknown_service"), 0);
    assert_eq!(other.failed("orders", "bad_secret"), 0);
}

#[tokio::test]
async fn a_key_that_was_created_right_after_a_read_is_known_before_a_token_is_rejected() {
    let harness = Harness::new();
    let stores = harness.stores().await;
    let services = Arc::clone(&stores.services);
    let other = harness.replica_on(stores, services);
    other.service_cache.snapshot().await.unwrap();

    // The first key signs at once.
    let one = harness.replica().await;
    let token = one.token(&one.register("orders").await).await.unwrap();
    assert!(other.comes_with(&token).await.is_ok());
    assert_eq!(other.failed("_other", "bad_signature"), 0);
}
