//! The gauges of services: their values, which replica exports them, and for how long.

use uuid::Uuid;

use super::*;
use skriptoteket_core::observer_state::ObserverState;

const BELIEVED: Duration = Duration::from_secs(30);

struct Replica {
    _telemetry: Telemetry,
    collected: CollectedMetrics,
    clock: Arc<ManualClock>,
    observer: ObserverState,
    service_gauges: ServiceGauges,
}

impl Replica {
    fn new() -> Self {
        let (telemetry, collected) = Telemetry::in_memory(&[METRICS]);
        let clock = Arc::new(ManualClock::default());
        let service_wide = telemetry.service_wide(Uuid::nil()).unwrap().meters();
        let observer = ObserverState::new(Arc::<ManualClock>::clone(&clock));
        let gauges = ServiceGauges::new(
            &service_wide,
            observer.clone(),
            Arc::<ManualClock>::clone(&clock),
            BELIEVED,
        );
        Self {
            _telemetry: telemetry,
            collected,
            clock,
            observer,
            service_gauges: gauges,
        }
    }

    /// Creates a replica that has been the observer since 0.
    fn observing() -> Self {
        let replica = Self::new();
        let _ = replica.observer.lease_acquired(1, Duration::ZERO, FOR_EVER);
        replica
    }

    /// Returns the number of series of gauges, and of totals.
    fn shown(&self) -> (usize, usize) {
        let series = self.collected.series();
        let of = |names: &[&str]| {
            let named = series.iter().filter(|(name, _)| {
                let name = name.strip_prefix("skriptoteket.");
                name.is_some_and(|it| names.contains(&it))
            });
            named.count()
        };
        (
            of(&[
                "active_services",
                "services_by_health",
                "service_health",
                "credential_expiry",
                "signing_key_age",
            ]),
            of(&["service_registrations", "credential_rotations"]),
        )
    }

    fn registered(&self) -> Option<u64> {
        let label = ("event", "registered");
        self.collected
            .counter("skriptoteket.service_registrations", &[label])
    }

    fn gauge(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.collected
            .gauge(&format!("skriptoteket.{name}"), labels)
    }
}

/// A snapshot with this many registrations.
fn snapshot(registered: u64) -> ServiceSnapshot {
    ServiceSnapshot {
        registrations: [registered, 0],
        ..one_service()
    }
}

/// Series of a snapshot with one service: 1 + 4 + 4 + 1 + 1, and 2 + 2.
const ALL: (usize, usize) = (11, 4);

#[test]
fn what_the_snapshot_says_is_shown() {
    let replica = Replica::observing();
    let entry = |service: &str, health, credential_expires_in| ServiceSample {
        service: service.into(),
        health,
        credential_expires_in,
    };
    replica.service_gauges.publish(
        ServiceSnapshot {
            services: vec![
                entry("archive", Health::Healthy, None),
                entry(MAILROOM, Health::Degraded, Some(90.0)),
                entry("porter", Health::Stale, Some(-5.0)),
                entry("scribe", Health::Disabled, None),
                entry("warden", Health::Disabled, None),
            ],
            ..one_service()
        },
        Duration::ZERO,
    );
    assert_eq!(replica.gauge("active_services", &[]), Some(2.0));
    let by_health = Health::NAMES.map(|it| {
        replica
            .gauge("services_by_health", &[("health", it)])
            .unwrap()
    });
    assert_eq!(by_health.map(|it| it.to_string()), ["1", "1", "1", "2"]);
    let of_porter = Health::NAMES.map(|it| {
        let labels = [("service_id", "porter"), ("health", it)];
        replica.gauge("service_health", &labels).unwrap()
    });
    assert_eq!(of_porter.map(|it| it.to_string()), ["0", "0", "1", "0"]);
    let expiry = |service| replica.gauge("credential_expiry", &[("service_id", service)]);
    let expiries = ["archive", MAILROOM, "porter", "scribe"].map(expiry);
    assert_eq!(expiries, [None, Some(90.0), Some(-5.0), None]);
}

#[test]
fn ages_go_on_between_snapshots() {
    let replica = Replica::observing();
    replica
        .service_gauges
        .publish(one_service(), Duration::ZERO);
    let ages = || {
        (
            replica.gauge("signing_key_age", &[]),
            replica.gauge("credential_expiry", &[("service_id", MAILROOM)]),
        )
    };
    assert_eq!(ages(), (Some(60.0), Some(90.0)));
    replica.clock.advance(Duration::from_secs(20));
    assert_eq!(ages(), (Some(80.0), Some(70.0)));
}

#[test]
fn an_empty_snapshot_is_shown_as_zero_and_a_missing_key_not_at_all() {
    let replica = Replica::observing();
    replica
        .service_gauges
        .publish(ServiceSnapshot::default(), Duration::ZERO);
    assert_eq!(replica.gauge("active_services", &[]), Some(0.0));
    let stale = replica.gauge("services_by_health", &[("health", "stale")]);
    assert_eq!(stale, Some(0.0));
    assert_eq!(replica.gauge("signing_key_age", &[]), None);
    assert_eq!(replica.registered(), Some(0));
}

#[test]
fn nothing_is_shown_before_the_first_answer() {
    assert_eq!(Replica::observing().shown(), (0, 0));
}

#[test]
fn an_old_snapshot_takes_its_gauges_away_and_leaves_its_totals() {
    let replica = Replica::observing();
    replica.service_gauges.publish(snapshot(3), Duration::ZERO);
    replica.clock.advance(BELIEVED);
    assert_eq!(replica.shown(), ALL);
    replica.clock.advance(Duration::from_millis(1));
    assert_eq!(replica.shown(), (0, ALL.1));
    assert_eq!(replica.registered(), Some(3));
    replica.service_gauges.publish(snapshot(4), BELIEVED);
    assert_eq!((replica.shown(), replica.registered()), (ALL, Some(4)));
}

#[test]
fn only_the_replica_that_observes_shows_the_services() {
    let replica = Replica::new();
    replica
        .service_gauges
        .publish(one_service(), Duration::ZERO);
    assert_eq!(replica.shown(), (0, 0));
    assert!(!replica.service_gauges.observes());
    let _ = replica
        .observer
        .lease_acquired(1, Duration::ZERO, Duration::from_secs(10));
    assert_eq!(replica.shown(), ALL);
    assert!(replica.service_gauges.observes());
    replica.clock.advance(Duration::from_secs(10));
    assert_eq!(replica.shown(), (0, 0));
}

#[test]
fn totals_do_not_go_back_when_a_replica_observes_again() {
    let seconds = Duration::from_secs;
    let replica = Replica::observing();
    replica.service_gauges.publish(snapshot(3), Duration::ZERO);
    assert_eq!(replica.registered(), Some(3));
    // Meanwhile another replica exports later totals.
    replica
        .observer
        .lease_held_elsewhere(2, Duration::ZERO, FOR_EVER);
    replica.clock.advance(seconds(5));
    let _ = replica.observer.lease_acquired(3, seconds(5), FOR_EVER);
    assert_eq!(replica.shown(), (0, 0));
    // Requested before this replica became the observer.
    replica.service_gauges.publish(snapshot(3), seconds(4));
    assert_eq!(replica.shown(), (0, 0));
    replica.service_gauges.publish(snapshot(8), seconds(5));
    assert_eq!((replica.shown(), replica.registered()), (ALL, Some(8)));
}

#[test]
fn an_answer_that_was_overtaken_is_left_out() {
    let replica = Replica::observing();
    replica.clock.advance(Duration::from_secs(2));
    replica
        .service_gauges
        .publish(snapshot(4), Duration::from_secs(2));
    replica
        .service_gauges
        .publish(snapshot(3), Duration::from_secs(1));
    assert_eq!(replica.registered(), Some(4));
}

#[test]
fn services_that_come_and_go_have_every_series_of_their_own() {
    // The maximum number of registered services, different ones each time: both generations have room for one
    // collection.
    const REGISTERED: usize = 500;
    let replica = Replica::observing();
    for generation in 0..4 {
        let entries = (0..REGISTERED).map(|n| ServiceSample {
            service: format!("service-{generation}-{n}").into(),
            health: Health::ALL[n % Health::ALL.len()],
            credential_expires_in: Some(1.0),
        });
        let snapshot = ServiceSnapshot {
            services: entries.collect(),
            ..one_service()
        };
        replica.service_gauges.publish(snapshot, Duration::ZERO);
        let series = replica.collected.series();
        let overflow = |(_, labels): &(String, Vec<(String, String)>)| {
            labels.iter().any(|(key, _)| key == "otel.metric.overflow")
        };
        assert!(!series.iter().any(overflow));
        assert_eq!(replica.shown(), (ALL.0 + 5 * (REGISTERED - 1), ALL.1));
    }
}
