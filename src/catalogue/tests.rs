//! Checks the instruments against the catalogue and the page that exports them.

mod limits;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use uuid::Uuid;

use super::*;
use crate::{
    accounts::metrics::{PasswordCheck, PasswordMetrics},
    audit::AuditMetrics,
    clock::{Clock, ManualClock},
    http::metrics::{HttpMetrics, RequestLabels},
    login::{
        LoginFailure,
        metrics::{LoginMetrics, PasswordChangeResult},
    },
    metric::{Kind, Values},
    observer_state::ObserverState,
    services::{
        AuthMetrics, Health, OTHER_SERVICE, ServiceGauges, ServiceSample, ServiceSnapshot,
        testing::record_all,
    },
    sessions::{Census, EndReason, SessionGauges, SessionMetrics, Totals},
    store::{StoreMetrics, StoreOperation},
    telemetry::{Telemetry, exposition::Exposition},
};

const FOR_EVER: Duration = Duration::MAX;

/// The one registered service; all others are `_other`.
const MAILROOM: &str = "mailroom";
const SERVICES: [&str; 2] = [MAILROOM, OTHER_SERVICE];

/// All instruments of the crate, on one telemetry pipeline.
struct Everything {
    login: LoginMetrics,
    audit: AuditMetrics,
    passwords: PasswordMetrics,
    observer: ObserverState,
    session_gauges: SessionGauges,
    session_metrics: SessionMetrics,
    http: HttpMetrics,
    store: StoreMetrics,
    services: AuthMetrics,
    service_gauges: ServiceGauges,
}

impl Everything {
    fn on(telemetry: &Telemetry) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
        let (meter, gauge_meters) = (telemetry.meter(), telemetry.observed_meters());
        let service_wide = telemetry.service_wide(Uuid::nil()).unwrap().meters();
        let observer = ObserverState::new(Arc::clone(&clock));
        let services = AuthMetrics::new(&meter, &gauge_meters, Arc::clone(&clock));
        assert!(services.admit(MAILROOM));
        Self {
            login: LoginMetrics::new(&meter, Arc::clone(&clock)),
            audit: AuditMetrics::new(&meter),
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

    /// Records a value with every label.
    fn record(&self) {
        self.login.login_started().finish(Ok(()));
        self.login.login_started().finish(Err(LoginFailure::Banned));
        self.audit.events_dropped(1);
        self.login
            .password_change_started()
            .finish(PasswordChangeResult::Success);
        self.passwords.checked(PasswordCheck::Match);
        let _ = self.observer.lease_acquired(1, Duration::ZERO, FOR_EVER);
        self.session_gauges
            .publish(Census::default(), Duration::ZERO);
        for reason in EndReason::ALL {
            self.session_metrics
                .session_ended(reason, Duration::from_secs(1));
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
        self.service_gauges.publish(one_service(), Duration::ZERO);
        record_all(&self.services, MAILROOM);
        record_all(&self.services, "nobody-knows-it");
    }
}

fn one_service() -> ServiceSnapshot {
    ServiceSnapshot {
        services: vec![ServiceSample {
            service: MAILROOM.into(),
            health: Health::Degraded,
            credential_expires_in: Some(90.0),
        }],
        registrations: [3, 2],
        rotations: [5, 1],
        signing_key_age: Some(Duration::from_mins(1)),
    }
}

fn page_of(telemetry: &Telemetry) -> Exposition {
    Exposition::parse(&telemetry.page().render().unwrap()).unwrap()
}

#[test]
fn the_page_shows_the_catalogue_and_nothing_else() {
    let (telemetry, _collected) = Telemetry::in_memory(CATALOGUE);
    Everything::on(&telemetry).record();
    let text = telemetry.page().render().unwrap();
    let page = Exposition::parse(&text).unwrap();

    let shown: BTreeSet<&str> = page.types.keys().map(String::as_str).collect();
    let listed: Vec<String> = all().map(Metric::prometheus).collect();
    let listed: BTreeSet<&str> = listed.iter().map(String::as_str).collect();
    assert_eq!(shown, listed);
    for instrument in all() {
        let name = &instrument.prometheus();
        let kind = match instrument.kind {
            Kind::Counter | Kind::ObservableCounter => "counter",
            Kind::ObservableGauge | Kind::ObservableUpDownCounter => "gauge",
            Kind::Histogram => "histogram",
        };
        assert_eq!(page.types[name.as_str()], kind, "{name}");
        let help = format!("# HELP {name} {}\n", instrument.description);
        assert!(text.contains(&help), "{help}");
    }
}

#[test]
fn every_series_has_the_labels_of_the_catalogue_and_no_others() {
    let (telemetry, _collected) = Telemetry::in_memory(CATALOGUE);
    Everything::on(&telemetry).record();
    let page = page_of(&telemetry);

    for instrument in all() {
        let name = &instrument.prometheus();
        let mut missing: BTreeSet<String> = BTreeSet::new();
        for attribute in instrument.attributes {
            missing.insert(attribute.key.replace('.', "_"));
        }
        for sample in page
            .samples
            .iter()
            .filter(|it| page.metric_of(it) == name.as_str())
        {
            for (key, value) in sample.labels.iter().filter(|(key, _)| *key != "le") {
                let attribute = instrument
                    .attributes
                    .iter()
                    .find(|it| it.key.replace('.', "_") == *key)
                    .unwrap_or_else(|| panic!("{name} has a label {key}"));
                let known = match attribute.values {
                    Values::Closed(values) => values.contains(&value.as_str()),
                    Values::Service => SERVICES.contains(&value.as_str()),
                    Values::Bounded(_) => true,
                };
                assert!(known, "{name}: {key}={value}");
                missing.remove(key);
            }
        }
        assert!(missing.is_empty(), "{name} never has {missing:?}");
    }
}

#[test]
fn every_counter_has_all_its_series_at_zero_from_the_start() {
    let (telemetry, _collected) = Telemetry::in_memory(CATALOGUE);
    let _everything = Everything::on(&telemetry);
    let page = page_of(&telemetry);

    for instrument in all().filter(|it| it.kind == Kind::Counter) {
        let name = &instrument.prometheus();
        let mut expected = 1;
        for attribute in instrument.attributes {
            expected *= match attribute.values {
                Values::Closed(values) => values.len(),
                Values::Service => SERVICES.len(),
                Values::Bounded(_) => panic!("{name} cannot be 0 for values that are not known"),
            };
        }
        let series: Vec<_> = page.samples.iter().filter(|it| it.name == *name).collect();
        assert_eq!(series.len(), expected, "{name}");
        assert!(series.iter().all(|it| it.value == 0.0), "{name}");
    }
}

const GAUGES: [&str; 3] = [
    "skriptoteket.active_sessions",
    "skriptoteket.sessions_by_role",
    "skriptoteket.users_by_role",
];

fn three_users() -> Census {
    Census {
        sessions: [3, 0, 0, 1],
        users: [2, 0, 0, 1],
        ..Census::default()
    }
}

#[test]
fn gauges_are_absent_until_the_first_census_and_after_a_withdrawal() {
    let (telemetry, collected) = Telemetry::in_memory(CATALOGUE);
    let Everything {
        observer,
        session_gauges: gauges,
        ..
    } = Everything::on(&telemetry);
    let _ = observer.lease_acquired(1, Duration::ZERO, FOR_EVER);
    let shown = || {
        let series = collected.series();
        GAUGES.map(|gauge| series.iter().filter(|(name, _)| name == gauge).count())
    };
    let up = || collected.gauge("skriptoteket.session_census_up", &[]);

    assert_eq!(
        (shown(), up()),
        ([0, 0, 0], Some(1.0)),
        "it has said who observes"
    );
    gauges.publish(three_users(), Duration::ZERO);
    assert_eq!((shown(), up()), ([1, 4, 4], Some(1.0)));
    observer.count_unanswered();
    assert_eq!((shown(), up()), ([0, 0, 0], Some(0.0)));
    gauges.publish(three_users(), Duration::ZERO);
    assert_eq!((shown(), up()), ([1, 4, 4], Some(1.0)));
    assert_eq!(
        collected.gauge("skriptoteket.users_by_role", &[("role", "user")]),
        Some(2.0)
    );
    assert_eq!(
        collected.gauge("skriptoteket.users_by_role", &[("role", "admin")]),
        Some(0.0)
    );
}

#[test]
fn totals_stay_while_the_store_does_not_answer() {
    let (telemetry, collected) = Telemetry::in_memory(CATALOGUE);
    let Everything {
        observer,
        session_gauges: gauges,
        ..
    } = Everything::on(&telemetry);
    let _ = observer.lease_acquired(1, Duration::ZERO, FOR_EVER);
    let started = || collected.counter("skriptoteket.sessions_started", &[("role", "user")]);

    assert_eq!(started(), None);
    let census = Census {
        totals: Totals {
            started: [7, 0, 0, 0],
            ..Totals::default()
        },
        ..Census::default()
    };
    gauges.publish(census, Duration::ZERO);
    observer.count_unanswered();
    assert_eq!(started(), Some(7));
}

#[test]
fn a_count_that_nobody_renews_is_believed_no_longer_than_its_limit() {
    let (telemetry, collected) = Telemetry::in_memory(CATALOGUE);
    let clock = Arc::new(ManualClock::default());
    let observer = ObserverState::new(Arc::<ManualClock>::clone(&clock));
    let gauges = SessionGauges::new(
        &telemetry.observed_meters(),
        &telemetry.service_wide(Uuid::nil()).unwrap().meters(),
        observer.clone(),
    );
    let seconds = Duration::from_secs;
    let _ = observer.lease_acquired(1, Duration::ZERO, FOR_EVER);
    observer.limit_count_age(seconds(10));
    gauges.publish(three_users(), Duration::ZERO);
    let shown = || {
        (
            collected.gauge("skriptoteket.active_sessions", &[]),
            collected.gauge("skriptoteket.session_census_up", &[]),
        )
    };
    clock.advance(seconds(10));
    assert_eq!(shown().1, Some(1.0));
    assert!(shown().0.is_some());
    clock.advance(seconds(1));
    // The process may have been paused and be about to count.
    assert_eq!(shown(), (None, None));
    clock.advance(seconds(1));
    assert_eq!(shown(), (None, Some(0.0)));
    gauges.publish(three_users(), seconds(12));
    assert_eq!(shown().1, Some(1.0));
}

#[test]
fn a_withdrawn_gauge_is_gone_from_the_first_collection_of_every_reader() {
    let (telemetry, collected) = Telemetry::in_memory(CATALOGUE);
    let Everything {
        observer,
        session_gauges: gauges,
        ..
    } = Everything::on(&telemetry);
    let _ = observer.lease_acquired(1, Duration::ZERO, FOR_EVER);
    let on_page = || page_of(&telemetry).value("skriptoteket_active_sessions", &[]);
    let in_memory = || collected.gauge("skriptoteket.active_sessions", &[]);

    for page_first in [true, false] {
        gauges.publish(three_users(), Duration::ZERO);
        // Callbacks run once per reader: they must not affect what the other reader gets.
        if page_first {
            assert_eq!(on_page(), Some(4.0));
        } else {
            assert_eq!(in_memory(), Some(4.0));
        }
        observer.count_unanswered();
        let seen = if page_first {
            [in_memory(), on_page()]
        } else {
            [on_page(), in_memory()]
        };
        assert_eq!(seen, [None, None]);
    }
}

crate::metrics! {
    BROKEN = ObservableGauge("broken", "{item}", PerInstance, [], "A gauge whose callback panics");
}

#[test]
fn a_panic_in_a_callback_silences_only_its_own_series() {
    let (telemetry, collected) = Telemetry::in_memory(CATALOGUE);
    let everything = Everything::on(&telemetry);
    for meter in telemetry.observed_meters() {
        BROKEN.observable_gauge(&meter, |observer| {
            observer.observe(1, &[]);
            panic!("a bug in a callback");
        });
    }
    let _ = everything
        .observer
        .lease_acquired(1, Duration::ZERO, FOR_EVER);
    everything
        .session_gauges
        .publish(three_users(), Duration::ZERO);
    for logins in 1..=2 {
        everything.login.login_started().finish(Ok(()));
        let label = ("status", "success");
        assert_eq!(
            collected.counter("skriptoteket.logins", &[label]),
            Some(logins)
        );
        assert_eq!(
            collected.gauge("skriptoteket.active_sessions", &[]),
            Some(4.0)
        );
        let page = page_of(&telemetry);
        assert_eq!(page.value("skriptoteket_active_sessions", &[]), Some(4.0));
    }
}
