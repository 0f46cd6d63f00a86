//! How soon a replica sees another one's changes, and how often it queries the store.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::join_all;
use skriptoteket::{
    clock::{ManualClock, Timestamp},
    error::StoreError,
    services::{
        FRESH, LimitChange, NewService, Register, RegisterError, Revision, Rotation, SKEW,
        SecretDigest, Service, ServiceChange, ServiceId, ServiceRepository, SignOfLife,
    },
};

use crate::harness::{Harness, Replica, with_secret};

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
    assert_eq!(crate::harness::reason(&asked), Some("store_unavailable"));
    // The client has named itself, but a token that has not been verified names no service.
    assert_eq!(replica.failed("orders", "store_unavailable"), 1);
    assert_eq!(replica.failed("_other", "store_unavailable"), 1);
}

#[tokio::test]
async fn those_who_come_together_ask_the_store_once() {
    let harness = Harness::new();
    let (first, stores) = (harness.replica().await, harness.stores().await);
    let counted = Arc::new(Counted::new(Arc::clone(&stores.services)));
    let replica = harness.replica_on(stores, Arc::clone(&counted) as Arc<dyn ServiceRepository>);
    let token = first.token(&first.register("orders").await).await.unwrap();

    let all = join_all((0..100).map(|_| replica.comes_with(&token))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(counted.asked(), 1);
    let again = join_all((0..100).map(|_| replica.comes_with(&token))).await;
    assert!(again.iter().all(Result::is_ok));
    assert_eq!(counted.asked(), 1);
    harness.pass(FRESH);
    let later = join_all((0..100).map(|_| replica.comes_with(&token))).await;
    assert!(later.iter().all(Result::is_ok));
    assert_eq!(counted.asked(), 2);
}

#[tokio::test]
async fn made_up_keys_do_not_keep_the_store_busy() {
    let harness = Harness::new();
    let stores = harness.stores().await;
    let counted = Arc::new(Counted::new(Arc::clone(&stores.services)));
    let replica = harness.replica_on(stores, Arc::clone(&counted) as Arc<dyn ServiceRepository>);
    replica.key_rotator.rotate_if_due(true).await.unwrap();
    // Signed with a key that no replica has.
    let elsewhere = Harness::new();
    let stranger = elsewhere.replica().await;
    let token = stranger
        .token(&stranger.register("orders").await)
        .await
        .unwrap();

    for _ in 0..10 {
        // The clock moves in between; otherwise all requests would share the first reply.
        harness.pass(Duration::from_millis(1));
        let came = join_all((0..50).map(|_| replica.comes_with(&token))).await;
        assert!(
            came.iter()
                .all(|it| it.as_ref().err() == Some(&"bad_signature"))
        );
    }
    assert_eq!(replica.failed("_other", "bad_signature"), 500);
    assert!(counted.asked() <= 2, "{}", counted.asked());
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
        assert_eq!(crate::harness::reason(&other.token(&new).await), seen);
    }
    assert_eq!(other.failed("orders", "bad_secret"), 0);
    assert_eq!(other.failed("_other", "unknown_service"), 0);
}

#[tokio::test]
async fn guesses_do_not_keep_the_store_busy() {
    let harness = Harness::new();
    let (first, stores) = (harness.replica().await, harness.stores().await);
    let counted = Arc::new(Counted::new(Arc::clone(&stores.services)));
    let replica = harness.replica_on(stores, Arc::clone(&counted) as Arc<dyn ServiceRepository>);
    let mut guess = first.register("orders").await;
    guess.secret = "sks_a-guess".into();
    for _ in 0..10 {
        harness.pass(Duration::from_millis(1));
        let came = join_all((0..50).map(|_| replica.token(&guess))).await;
        let reasons = came.iter().map(crate::harness::reason);
        assert!(reasons.into_iter().all(|it| it == Some("bad_secret")));
    }
    assert_eq!(replica.failed("orders", "bad_secret"), 500);
    assert!(counted.asked() <= 2, "{}", counted.asked());
}

#[tokio::test]
async fn all_who_wait_for_a_store_that_is_away_wait_for_one_answer() {
    let harness = Harness::new();
    let stores = harness.stores().await;
    let away = Arc::new(Counted {
        clock: Some(Arc::clone(&harness.clock)),
        fails: true,
        ..Counted::new(Arc::clone(&stores.services))
    });
    let replica = harness.replica_on(stores, Arc::clone(&away) as Arc<dyn ServiceRepository>);
    let token = "x.y.z".to_owned().into();
    let came = join_all((0..30).map(|_| replica.comes_with(&token))).await;
    assert!(
        came.iter()
            .all(|it| it.as_ref().err() == Some(&"store_unavailable"))
    );
    assert_eq!(away.asked(), 1);
    let again = replica.comes_with(&token).await;
    assert_eq!((again.err(), away.asked()), (Some("store_unavailable"), 2));
}

#[tokio::test]
async fn strangers_share_the_answers_of_a_store_that_is_slow() {
    let harness = Harness::new();
    let first = harness.replica().await;
    let good = first.token(&first.register("orders").await).await.unwrap();
    let elsewhere = Harness::new();
    let stranger = elsewhere.replica().await;
    let strange = stranger
        .token(&stranger.register("orders").await)
        .await
        .unwrap();
    let stores = harness.stores().await;
    let slow = Arc::new(Counted {
        clock: Some(Arc::clone(&harness.clock)),
        ..Counted::new(Arc::clone(&stores.services))
    });
    let replica = harness.replica_on(stores, Arc::clone(&slow) as Arc<dyn ServiceRepository>);
    let strangers = join_all((0..50).map(|_| replica.comes_with(&strange)));
    let (strangers, honest) = tokio::join!(strangers, replica.comes_with(&good));
    assert!(
        strangers
            .iter()
            .all(|it| it.as_ref().err() == Some(&"bad_signature"))
    );
    assert!(honest.is_ok());
    assert!(slow.asked() <= 3, "{}", slow.asked());
}

/// Counts the queries of the revision.
#[derive(Debug)]
struct Counted {
    inner: Arc<dyn ServiceRepository>,
    asked: AtomicU64,
    /// If set, each query advances this clock by 100 ms.
    clock: Option<Arc<ManualClock>>,
    fails: bool,
}

impl Counted {
    fn new(inner: Arc<dyn ServiceRepository>) -> Self {
        Self {
            inner,
            asked: AtomicU64::default(),
            clock: None,
            fails: false,
        }
    }

    fn asked(&self) -> u64 {
        self.asked.load(SeqCst)
    }
}

#[async_trait]
impl ServiceRepository for Counted {
    async fn register(&self, service: NewService, most: u32) -> Result<Service, RegisterError> {
        self.inner.register(service, most).await
    }

    async fn find(&self, id: &ServiceId) -> Result<Option<Service>, StoreError> {
        self.inner.find(id).await
    }

    async fn all(&self) -> Result<Register, StoreError> {
        self.inner.all().await
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.asked.fetch_add(1, SeqCst);
        if let Some(clock) = &self.clock {
            tokio::task::yield_now().await;
            clock.advance(Duration::from_millis(100));
        }
        if self.fails {
            return Err(StoreError::Unavailable("away".into()));
        }
        self.inner.revision().await
    }

    async fn change(
        &self,
        id: &ServiceId,
        change: ServiceChange,
    ) -> Result<Option<Service>, StoreError> {
        self.inner.change(id, change).await
    }

    async fn delete(&self, id: &ServiceId) -> Result<bool, StoreError> {
        self.inner.delete(id).await
    }

    async fn rotate(
        &self,
        id: &ServiceId,
        secret: SecretDigest,
        expires_at: Option<Timestamp>,
        overlap: Duration,
        force: bool,
    ) -> Result<Option<Rotation>, StoreError> {
        self.inner
            .rotate(id, secret, expires_at, overlap, force)
            .await
    }

    async fn seen(&self, id: &ServiceId, sign: SignOfLife) -> Result<bool, StoreError> {
        self.inner.seen(id, sign).await
    }
}
