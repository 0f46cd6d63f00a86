//! Two replicas on one store, one of which is the observer.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use skriptoteket::{
    accounts::Role,
    catalogue::CATALOGUE,
    clock::{Clock, ManualClock},
    error::StoreError,
    sessions::{
        Lease, ObserverLease,
        census::{CensusPace, CensusTaker},
    },
    store::{SqliteSettings, StoreMetrics, open_sqlite},
    telemetry::{Telemetry, testing::CollectedMetrics},
};
use skriptoteket_testing::parts::census_taker;
use uuid::Uuid;

use crate::logins::harness::{Harness, PASSWORD};

const PACE: CensusPace = CensusPace {
    interval: Duration::from_secs(5),
    timeout: Duration::from_secs(2),
};

/// A lease, as a store keeps it.
#[derive(Debug, Default)]
struct Kept {
    holder: Option<(u32, Duration)>,
    epoch: u64,
}

/// One replica's access to the lease.
#[derive(Debug)]
struct InMemory {
    name: u32,
    kept: Arc<Mutex<Kept>>,
    clock: Arc<ManualClock>,
    away: AtomicBool,
}

impl InMemory {
    fn answer(&self) -> Result<(), StoreError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("away".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl ObserverLease for InMemory {
    async fn hold(&self, _service: Uuid, ttl: Duration) -> Result<Lease, StoreError> {
        self.answer()?;
        let now = self.clock.monotonic();
        let mut kept = self.kept.lock().unwrap();
        let held_by = kept.holder.filter(|(_, until)| now < *until);
        let mine = held_by.is_none_or(|(name, _)| name == self.name);
        if mine {
            if kept.holder.is_none_or(|(name, _)| name != self.name) {
                kept.epoch += 1;
            }
            kept.holder = Some((self.name, now + ttl));
        }
        Ok(Lease {
            mine,
            kin: true,
            epoch: kept.epoch,
        })
    }

    async fn release(&self) -> Result<(), StoreError> {
        self.answer()?;
        let mut kept = self.kept.lock().unwrap();
        if kept.holder.is_some_and(|(name, _)| name == self.name) {
            kept.holder = None;
        }
        Ok(())
    }
}

struct Replica {
    census: Arc<CensusTaker>,
    lease: Arc<InMemory>,
    metrics: CollectedMetrics,
    telemetry: Telemetry,
}

impl Replica {
    fn new(name: u32, harness: &Harness, kept: &Arc<Mutex<Kept>>) -> Self {
        let clock: Arc<dyn Clock> = harness.clock.clone();
        let (telemetry, metrics) = Telemetry::in_memory(CATALOGUE);
        let lease = Arc::new(InMemory {
            name,
            kept: Arc::clone(kept),
            clock: harness.clock.clone(),
            away: AtomicBool::new(false),
        });
        let mut stores = harness.stores.clone();
        stores.observer = lease.clone();
        let census = census_taker(&stores, &telemetry, &clock, PACE);
        Self {
            census: Arc::new(census),
            lease,
            metrics,
            telemetry,
        }
    }

    fn gauge(&self, name: &str) -> Option<f64> {
        self.metrics.gauge(&format!("skriptoteket.{name}"), &[])
    }

    fn started(&self) -> Option<u64> {
        let name = "skriptoteket.sessions_started";
        self.metrics.counter(name, &[("role", "user")])
    }

    /// Returns the gauges for live sessions, census state, observer and epoch.
    fn shown(&self) -> [Option<f64>; 4] {
        [
            "active_sessions",
            "session_census_up",
            "session_observer",
            "session_observer_epoch",
        ]
        .map(|name| self.gauge(name))
    }

    fn on_page(&self, name: &str) -> bool {
        self.telemetry.page().render().unwrap().contains(name)
    }
}

/// Creates a harness with one session, and two replicas of which the first is the observer.
async fn two() -> (Harness, Replica, Replica) {
    let harness = Harness::new().await;
    harness.user("ada", Role::User).await;
    harness.try_login("ada", PASSWORD).await.unwrap();
    let kept = Arc::default();
    let one = Replica::new(1, &harness, &kept);
    let other = Replica::new(2, &harness, &kept);
    one.census.take().await.unwrap();
    other.census.take().await.unwrap();
    (harness, one, other)
}

const SERVICE_WIDE: [&str; 5] = [
    "skriptoteket_active_sessions ",
    "skriptoteket_sessions_by_role{",
    "skriptoteket_users_by_role{",
    "skriptoteket_sessions_started_total{",
    "skriptoteket_sessions_ended_total{",
];

#[tokio::test]
async fn of_two_replicas_one_exports_what_is_service_wide() {
    let (_harness, one, other) = two().await;
    assert_eq!(one.shown(), [Some(1.0), Some(1.0), Some(1.0), Some(1.0)]);
    assert_eq!(other.shown(), [None, Some(1.0), Some(0.0), Some(1.0)]);
    for name in SERVICE_WIDE {
        assert!(one.on_page(name), "{name}");
        assert!(!other.on_page(name), "{name}");
    }
}

#[tokio::test]
async fn past_its_deadline_a_replica_shows_nothing_and_another_one_takes_over() {
    let (harness, one, other) = two().await;
    let moment = Duration::from_millis(1);
    harness.clock.advance(PACE.lease().saturating_sub(moment));
    assert_eq!(one.gauge("active_sessions"), Some(1.0));
    assert_eq!(one.started(), Some(1));
    // As if the process had been suspended and resumed: it does not know that its lease has expired.
    harness.clock.advance(moment);
    assert_eq!(one.shown(), [None, None, Some(0.0), Some(1.0)]);
    assert_eq!(one.started(), None);

    harness.try_login("ada", PASSWORD).await.unwrap();
    other.census.take().await.unwrap();
    assert_eq!(other.shown(), [Some(2.0), Some(1.0), Some(1.0), Some(2.0)]);
    assert_eq!(other.started(), Some(2));
    one.census.hold().await.unwrap();
    assert_eq!(one.shown(), [None, Some(1.0), Some(0.0), Some(2.0)]);
}

#[tokio::test]
async fn a_replica_that_comes_back_shows_nothing_until_it_has_counted_anew() {
    let (harness, one, _other) = two().await;
    harness.clock.advance(PACE.lease());
    one.census.hold().await.unwrap();
    assert_eq!(one.shown(), [None, Some(1.0), Some(1.0), Some(1.0)]);
    assert_eq!(one.started(), None, "it has not taken a census yet");
    one.census.count().await.unwrap();
    assert_eq!(one.gauge("active_sessions"), Some(1.0));
}

#[tokio::test]
async fn a_lease_that_is_renewed_in_time_shows_no_gap() {
    let (harness, one, other) = two().await;
    for _ in 0..20 {
        harness.clock.advance(PACE.lease() / 3);
        one.census.hold().await.unwrap();
        other.census.hold().await.unwrap();
        assert_eq!(one.gauge("active_sessions"), Some(1.0));
        assert_eq!(one.started(), Some(1));
        assert_eq!(other.gauge("active_sessions"), None);
    }
}

#[tokio::test]
async fn a_replica_that_resigns_is_followed_at_once() {
    let (_harness, one, other) = two().await;
    one.census.resign().await.unwrap();
    // Its last export reports nothing false about the store.
    assert_eq!(one.shown()[..3], [None, Some(1.0), Some(0.0)]);
    assert_eq!(one.started(), None);
    other.census.take().await.unwrap();
    assert_eq!(other.gauge("active_sessions"), Some(1.0));
    assert_eq!(other.gauge("session_observer"), Some(1.0));
}

#[tokio::test]
async fn without_the_store_no_replica_is_up() {
    let (harness, one, other) = two().await;
    for replica in [&one, &other] {
        replica.lease.away.store(true, Ordering::SeqCst);
        assert!(replica.census.hold().await.is_err());
    }
    assert_eq!(other.gauge("session_census_up"), Some(0.0));
    assert_eq!(
        one.gauge("session_census_up"),
        Some(1.0),
        "its lease is still valid"
    );
    harness.clock.advance(PACE.lease());
    assert_eq!(one.gauge("session_census_up"), Some(0.0));
    one.lease.away.store(false, Ordering::SeqCst);
    one.census.take().await.unwrap();
    assert_eq!(one.shown(), [Some(1.0), Some(1.0), Some(1.0), Some(1.0)]);
}

#[tokio::test]
async fn an_answer_of_the_lease_is_not_believed_for_ever() {
    let (harness, _one, other) = two().await;
    assert_eq!(other.gauge("session_census_up"), Some(1.0));
    harness.clock.advance(PACE.lease());
    // A single observation may mean that the process was suspended. The store is not to blame then.
    assert_eq!(other.gauge("session_census_up"), None);
    harness.clock.advance(Duration::from_secs(1));
    assert_eq!(other.gauge("session_census_up"), Some(0.0));
    other.census.hold().await.unwrap();
    assert_eq!(other.gauge("session_census_up"), Some(1.0));
}

#[tokio::test]
async fn the_age_of_the_last_answer_grows_as_long_as_the_store_is_away() {
    let (harness, one, other) = two().await;
    for replica in [&one, &other] {
        replica.lease.away.store(true, Ordering::SeqCst);
    }
    for minutes in 1..=5_u32 {
        harness.clock.advance(Duration::from_mins(1));
        for replica in [&one, &other] {
            assert!(replica.census.hold().await.is_err());
            let age = replica.gauge("session_census_age");
            assert_eq!(age, Some(60.0 * f64::from(minutes)));
            assert_eq!(replica.gauge("session_census_up"), Some(0.0));
            assert_eq!(replica.gauge("active_sessions"), None);
        }
    }
    other.lease.away.store(false, Ordering::SeqCst);
    other.census.take().await.unwrap();
    assert_eq!(other.gauge("session_census_age"), Some(0.0));
}

#[tokio::test]
async fn where_another_replica_observes_the_bell_counts_nothing() {
    let harness = Harness::new().await;
    let kept = Arc::default();
    let one = Replica::new(1, &harness, &kept);
    one.census.take().await.unwrap();
    let (telemetry, collected) = Telemetry::in_memory(CATALOGUE);
    let counted = StoreMetrics::new(&telemetry.meter(), harness.clock.clone());
    let settings = SqliteSettings {
        path: harness.path(),
        timeout: PACE.timeout,
    };
    let observed = open_sqlite(&settings, harness.clock.clone(), Some(counted)).await;
    let lease = Arc::new(InMemory {
        name: 2,
        kept: Arc::clone(&kept),
        clock: harness.clock.clone(),
        away: AtomicBool::new(false),
    });
    let clock: Arc<dyn Clock> = harness.clock.clone();
    let mut stores = observed.unwrap();
    stores.observer = lease;
    let other = census_taker(&stores, &telemetry, &clock, PACE);
    let bell = other.bell();
    let running = tokio::spawn(async move { other.run().await });
    let counts = || {
        let labels = [("store", "sessions"), ("operation", "census")];
        let name = "skriptoteket.store_operation_duration";
        collected.histogram_count(name, &labels).unwrap_or(0)
    };
    for _ in 0..4 {
        bell.ring();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(counts(), 0);
    // The holder is gone, so the next replica that asks takes the census.
    harness.clock.advance(PACE.lease());
    while counts() == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    running.abort();
}

#[test]
fn a_lease_is_over_before_the_next_count_is_due() {
    let lease = |millis| {
        let pace = CensusPace {
            interval: Duration::from_millis(millis),
            timeout: PACE.timeout,
        };
        pace.lease().as_millis()
    };
    assert_eq!(lease(5_000), 2_500);
    assert_eq!(lease(2_000), 1_000);
    assert_eq!((lease(100), lease(3_600_000)), (1_000, 20_000));
}
