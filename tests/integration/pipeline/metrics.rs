//! Metrics: the Collector's page compared with the program's own.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use skriptoteket::{
    accounts::metrics::{PasswordCheck, PasswordMetrics},
    audit::AuditMetrics,
    catalogue,
    clock::{Clock, ManualClock, SystemClock},
    http::metrics::{HttpMetrics, RequestLabels},
    login::{LoginFailure, metrics::LoginMetrics},
    metric::Metric,
    observer_state::ObserverState,
    services::{
        AuthFailureReason, AuthMetrics, AuthOperation, DailyUsage, FailurePolicy, Health,
        LimitType, RateLimitUsage, ServiceGauges, ServiceSample, ServiceSnapshot, TokenStatus,
    },
    sessions::{Census, EndReason, SessionGauges, SessionMetrics, Totals},
    store::{StoreMetrics, StoreOperation},
    telemetry::{OtlpProtocol, Telemetry, TelemetryError, exposition::Exposition},
};
use skriptoteket_testing::{collector::Collector, wait::eventually};
use uuid::Uuid;

use crate::pipeline::{LIMIT, PROTOCOLS, SERVICE, telemetry_to};

const FOR_EVER: Duration = Duration::MAX;

struct Everything {
    login: LoginMetrics,
    _audit: AuditMetrics,
    passwords: PasswordMetrics,
    observer: ObserverState,
    session_gauges: SessionGauges,
    session_metrics: SessionMetrics,
    http: HttpMetrics,
    store: StoreMetrics,
    services: AuthMetrics,
    service_gauges: ServiceGauges,
}

/// The only registered service.
const MAILROOM: &str = "mailroom";

impl Everything {
    fn on(telemetry: &Telemetry) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
        let (meter, gauge_meters) = (telemetry.meter(), telemetry.observed_meters());
        let service_wide = telemetry.service_wide(SERVICE).unwrap().meters();
        let observer = ObserverState::new(Arc::clone(&clock));
        let services = AuthMetrics::new(&meter, &gauge_meters, Arc::clone(&clock));
        assert!(services.admit(MAILROOM));
        Self {
            login: LoginMetrics::new(&meter, Arc::clone(&clock)),
            _audit: AuditMetrics::new(&meter),
            passwords: PasswordMetrics::new(&meter),
            service_gauges: ServiceGauges::new(
                &service_wide,
                observer.clone(),
                Arc::clone(&clock),
                FOR_EVER,
            ),
            session_gauges: SessionGauges::new(&gauge_meters, &service_wide, observer.clone()),
            session_metrics: SessionMetrics::new(&meter),
            observer,
            http: HttpMetrics::new(&meter, &gauge_meters, Arc::clone(&clock)),
            store: StoreMetrics::new(&meter, clock),
            services,
        }
    }

    fn record(&self) {
        self.login.login_started().finish(Ok(()));
        self.login.login_started().finish(Err(LoginFailure::Banned));
        self.passwords.checked(PasswordCheck::Match);
        let _ = self.observer.lease_acquired(1, Duration::ZERO, FOR_EVER);
        self.session_gauges.publish(census(), Duration::ZERO);
        for reason in EndReason::ALL {
            let lasted = Duration::from_secs(90);
            self.session_metrics.session_ended(reason, lasted);
        }
        for (method, route) in [("GET", Some("/api/session")), ("BREW", None)] {
            let request = self
                .http
                .recorder()
                .request_started(RequestLabels::new(method, true));
            request.finish(route, 200);
        }
        for error_type in [None, Some("unavailable")] {
            let operation = StoreOperation {
                store: "accounts",
                operation: "find",
            };
            self.store.finish(operation, self.store.start(), error_type);
        }
        for service in [MAILROOM, "nobody-knows-it"] {
            self.record_service(service);
        }
        self.service_gauges
            .publish(service_snapshot(), Duration::ZERO);
    }

    fn record_service(&self, service: &str) {
        let services = &self.services;
        services.record_successful_auth(service);
        for reason in AuthFailureReason::ALL {
            services.record_failed_auth(service, reason);
        }
        for status in TokenStatus::ALL {
            services.record_token_verification(service, status);
        }
        let operation = AuthOperation::TokenVerification;
        services.record_auth_latency(service, operation, services.start());
        services
            .auth_started(operation)
            .finish(Some(service), Ok(()));
        services.update_rate_limit_usage(
            service,
            RateLimitUsage {
                requests: 3,
                allowed: 100,
                recovers_in: Duration::from_secs(1),
                daily: Some(DailyUsage {
                    used: 4_000,
                    allowed: 10_000,
                    resets_in: Duration::from_mins(1),
                }),
            },
        );
        services.rate_limit_exceeded(service, LimitType::DailyQuota);
        services.retired_credential_used(service);
        services.limit_store_failed(FailurePolicy::Closed);
    }
}

fn service_snapshot() -> ServiceSnapshot {
    let entry = |service: &str, health, credential_expires_in| ServiceSample {
        service: service.into(),
        health,
        credential_expires_in,
    };
    ServiceSnapshot {
        services: vec![
            entry(MAILROOM, Health::Healthy, Some(86_400.5)),
            entry("archive", Health::Disabled, None),
        ],
        registrations: [5, 3],
        rotations: [2, 1],
        signing_key_age: Some(Duration::from_hours(1)),
    }
}

fn census() -> Census {
    Census {
        sessions: [5, 0, 2, 1],
        users: [3, 0, 2, 1],
        totals: Totals {
            started: [9, 0, 2, 1],
            ended: [[4, 0, 0, 0, 0, 0, 0], [0; 7], [0; 7], [0; 7]],
        },
        ..Census::default()
    }
}

fn own_page(telemetry: &Telemetry) -> Exposition {
    Exposition::parse(&telemetry.page().render().unwrap()).unwrap()
}

/// Returns the Collector's page without the labels that the Collector adds to identify the sender.
pub(crate) fn page_of(collector: &Collector) -> Exposition {
    let mut page = collector.page();
    page.types.remove("target_info");
    page.samples.retain(|sample| sample.name != "target_info");
    for sample in &mut page.samples {
        let job = sample.labels.remove("job");
        assert_eq!(job.as_deref(), Some("skriptoteket"));
        let instance = sample.labels.remove("instance").unwrap();
        assert!(instance.parse::<Uuid>().is_ok(), "{instance}");
    }
    page
}

pub(crate) type Series = (String, BTreeMap<String, String>);

/// Returns the series of a page and their values as text. Bounds that the two sides only format differently are normalized.
pub(crate) fn series(page: &Exposition) -> BTreeMap<Series, String> {
    let mut series = BTreeMap::new();
    for sample in &page.samples {
        let mut labels = sample.labels.clone();
        if let Some(bound) = labels.get_mut("le") {
            *bound = bound.parse::<f64>().unwrap().to_string();
        }
        let key = (sample.name.clone(), labels);
        let twice = series.insert(key, sample.value.to_string());
        assert!(twice.is_none(), "{sample:?} is there twice");
    }
    series
}

#[test]
fn the_collector_shows_the_catalogue_as_the_metrics_page_does() {
    for protocol in PROTOCOLS {
        let collector = Collector::start();
        let (_runtime, telemetry) = telemetry_to(&collector, protocol);
        Everything::on(&telemetry).record();
        telemetry.flush(LIMIT).unwrap();

        let (collected, own) = (page_of(&collector), own_page(&telemetry));
        assert_eq!(series(&collected), series(&own), "{protocol:?}");
        assert_eq!(collected.types, own.types, "{protocol:?}");
        let shown: BTreeSet<_> = collected.types.keys().map(String::as_str).collect();
        let listed: Vec<_> = catalogue::all().map(Metric::prometheus).collect();
        let listed: BTreeSet<_> = listed.iter().map(String::as_str).collect();
        assert_eq!(shown, listed, "{protocol:?}");
        telemetry.shutdown(LIMIT).unwrap();
    }
}

#[test]
fn withdrawn_gauges_are_gone_from_the_collector_once_they_expire() {
    let collector = Collector::start_with(Duration::from_secs(5));
    let (_runtime, telemetry) = telemetry_to(&collector, OtlpProtocol::Grpc);
    let everything = Everything::on(&telemetry);
    everything.record();
    let sessions = |page: &Exposition| page.value("skriptoteket_active_sessions", &[]);
    // Repeated, because a busy machine may look after they have expired.
    let shown = eventually("the gauges are shown", || {
        telemetry.flush(LIMIT).unwrap();
        sessions(&page_of(&collector))
    });
    assert_eq!(shown.to_bits(), 8.0_f64.to_bits());

    everything.observer.count_unanswered();
    // The test waits for a minute; the default expiration of the Collector is five minutes.
    let page = eventually("the gauges expire", || {
        telemetry.flush(LIMIT).unwrap();
        let page = page_of(&collector);
        sessions(&page).is_none().then_some(page)
    });
    for gauge in [
        "skriptoteket_users_by_role",
        "skriptoteket_sessions_by_role",
    ] {
        assert_eq!(page.samples.iter().filter(|it| it.name == gauge).count(), 0);
    }
    let up = page.value("skriptoteket_session_census_up", &[]);
    assert_eq!(up, Some(0.0));
    let started = page.value("skriptoteket_sessions_started_total", &[("role", "user")]);
    assert_eq!(started, Some(9.0));
}

#[test]
fn a_collector_that_goes_away_misses_nothing_once_it_is_back() {
    for protocol in PROTOCOLS {
        let mut collector = Collector::start();
        let (_runtime, telemetry) = telemetry_to(&collector, protocol);
        let everything = Everything::on(&telemetry);
        everything.record();
        telemetry.flush(LIMIT).unwrap();

        collector.stop();
        everything.record();
        let without = telemetry.flush(Duration::from_secs(3));
        assert!(matches!(without, Err(TelemetryError::Undelivered(_))));
        everything.record();
        let own = series(&own_page(&telemetry));

        collector.start_again();
        eventually("the Collector is reached again", || {
            telemetry.flush(LIMIT).ok()
        });
        assert_eq!(series(&page_of(&collector)), own, "{protocol:?}");
        telemetry.shutdown(LIMIT).unwrap();
    }
}

#[test]
fn a_shutdown_without_the_collector_keeps_its_limit() {
    for protocol in PROTOCOLS {
        let mut collector = Collector::start();
        let (_runtime, telemetry) = telemetry_to(&collector, protocol);
        let everything = Everything::on(&telemetry);
        telemetry.flush(LIMIT).unwrap();
        collector.stop();
        everything.record();

        let clock = SystemClock::default();
        let result = telemetry.shutdown(Duration::from_millis(500));
        let took = clock.monotonic();
        assert!(matches!(result, Err(TelemetryError::Undelivered(_))));
        // Less than the default timeout of an export.
        assert!(took < Duration::from_secs(8), "{protocol:?}: {took:?}");
    }
}

/// Two processes on one Collector; the second takes over from the first, and the first from the second.
#[test]
fn where_another_replica_takes_over_the_series_go_on() {
    for protocol in PROTOCOLS {
        let collector = Collector::start();
        let (_runtime, one) = telemetry_to(&collector, protocol);
        let (_other_runtime, other) = telemetry_to(&collector, protocol);
        let replicas = [Everything::on(&one), Everything::on(&other)];
        let mut epoch = 0;
        let mut shown = |who: usize, sessions: u64| {
            epoch += 1;
            let counted = Census {
                sessions: [sessions, 0, 0, 0],
                users: [sessions, 0, 0, 0],
                totals: Totals {
                    started: [10 * sessions, 0, 0, 0],
                    ended: [[9 * sessions, 0, 0, 0, 0, 0, 0], [0; 7], [0; 7], [0; 7]],
                },
                ..Census::default()
            };
            replicas[1 - who]
                .observer
                .lease_held_elsewhere(epoch, Duration::ZERO, FOR_EVER);
            let _ = replicas[who]
                .observer
                .lease_acquired(epoch, Duration::ZERO, FOR_EVER);
            replicas[who]
                .session_gauges
                .publish(counted, Duration::ZERO);
            for telemetry in [&one, &other] {
                telemetry.flush(LIMIT).unwrap();
            }
            collector.page()
        };
        let mut instances = BTreeSet::new();
        for (who, sessions) in [(0, 3), (1, 5), (0, 6)] {
            let page = shown(who, sessions);
            let with = |name: &str, label: (&str, &str)| {
                let found = page.samples.iter().filter(|it| {
                    it.name == name && it.labels.get(label.0).is_some_and(|value| value == label.1)
                });
                found.cloned().collect::<Vec<_>>()
            };
            for (name, expected) in [
                ("skriptoteket_sessions_by_role", sessions),
                ("skriptoteket_users_by_role", sessions),
                ("skriptoteket_sessions_started_total", 10 * sessions),
            ] {
                let found = with(name, ("role", "user"));
                assert_eq!(found.len(), 1, "{protocol:?}: {found:?}");
                let expected: f64 = u32::try_from(expected).unwrap().into();
                assert!((found[0].value - expected).abs() < 0.5, "{found:?}");
                instances.insert(found[0].labels["instance"].clone());
            }
            // Series of the process itself exist for each process.
            let observers = page.samples.iter();
            let observers: Vec<_> = observers
                .filter(|it| it.name == "skriptoteket_session_observer")
                .collect();
            assert_eq!(observers.len(), 2, "{observers:?}");
            let sum: f64 = observers.iter().map(|it| it.value).sum();
            assert!((sum - 1.0).abs() < 0.5, "{observers:?}");
        }
        assert_eq!(instances, BTreeSet::from([SERVICE.to_string()]));
        for telemetry in [one, other] {
            telemetry.shutdown(LIMIT).unwrap();
        }
    }
}
