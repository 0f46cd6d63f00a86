//! Authentications, tokens and limits of services: the effect of each recorder, and that it has no other effect.

mod gauges;
mod panics;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use super::*;
use crate::testing::{USAGE, record_all};
use skriptoteket_core::{
    clock::{Clock, ManualClock},
    metric::SERVICE_LABELS,
};
use skriptoteket_telemetry::{Telemetry, exposition::Exposition, testing::CollectedMetrics};

const FOR_EVER: Duration = Duration::MAX;

/// The only registered service; all others are `_other`.
const MAILROOM: &str = "mailroom";
const SERVICES: [&str; 2] = [MAILROOM, OTHER_SERVICE];

struct Fixture {
    telemetry: Telemetry,
    collected: CollectedMetrics,
    clock: Arc<ManualClock>,
    metrics: AuthMetrics,
}

impl Fixture {
    /// Creates the metrics with this service admitted.
    fn new() -> Self {
        let (telemetry, collected) = Telemetry::in_memory(&[METRICS]);
        let clock = Arc::new(ManualClock::default());
        let metrics = AuthMetrics::new(
            &telemetry.meter(),
            &telemetry.observed_meters(),
            Arc::<ManualClock>::clone(&clock),
        );
        assert!(metrics.admit(MAILROOM));
        Self {
            telemetry,
            collected,
            clock,
            metrics,
        }
    }

    fn counter(&self, name: &str, labels: &[(&str, &str)]) -> Option<u64> {
        self.collected
            .counter(&format!("skriptoteket.{name}"), labels)
    }

    /// Returns the usage and the limit, by limit type, as both readers export it.
    fn usage(&self) -> Vec<Option<(f64, f64)>> {
        let page = page_of(&self.telemetry);
        let shown = |limit: LimitType| {
            let labels = [("limit_type", limit.as_str()), ("service_id", MAILROOM)];
            let [current, allowed] = ["current", "allowed"].map(|what| {
                let seen = page.value(&format!("skriptoteket_rate_limit_{what}"), &labels);
                let name = format!("skriptoteket.rate_limit_{what}");
                assert_eq!(seen, self.collected.gauge(&name, &labels));
                seen
            });
            current.zip(allowed)
        };
        LimitType::ALL.iter().copied().map(shown).collect()
    }

    /// Returns the value of every counter series and the number of values of each histogram series, from the metrics
    /// page.
    fn counts(&self) -> BTreeMap<(String, Vec<(String, String)>), f64> {
        let page = page_of(&self.telemetry);
        let counts = page.samples.into_iter().filter(|it| {
            ["_total", "_count"]
                .iter()
                .any(|end| it.name.ends_with(end))
        });
        counts
            .map(|it| ((it.name, it.labels.into_iter().collect()), it.value))
            .collect()
    }

    /// Asserts that `record` changes only this series, and increases it by one.
    fn moves(&self, name: &str, labels: &[(&str, &str)], record: impl FnOnce(&AuthMetrics)) {
        let before = self.counts();
        record(&self.metrics);
        let after = self.counts().into_iter();
        let moved: Vec<_> = after
            .map(|(series, n)| (n - before.get(&series).unwrap_or(&0.0), series))
            .filter(|(by, _)| *by != 0.0)
            .collect();
        let labels = labels.iter();
        let labels = labels.map(|(k, v)| (String::from(*k), String::from(*v)));
        let series = (format!("skriptoteket_{name}"), labels.collect());
        assert_eq!(moved, [(1.0, series)]);
    }
}

#[test]
fn each_recorder_moves_one_series_by_one() {
    let it = Fixture::new();
    for (service, label) in [
        (MAILROOM, MAILROOM),
        ("nobody-knows-it", OTHER_SERVICE),
        (OTHER_SERVICE, OTHER_SERVICE),
    ] {
        let own = ("service_id", label);
        it.moves("successful_auths_total", &[own], |it| {
            it.record_successful_auth(service);
        });
        for reason in AuthFailureReason::ALL {
            let labels = [("reason", reason.as_str()), own];
            it.moves("failed_auths_total", &labels, |it| {
                it.record_failed_auth(service, reason);
            });
        }
        for status in TokenStatus::ALL {
            let labels = [own, ("status", status.as_str())];
            it.moves("token_verifications_total", &labels, |it| {
                it.record_token_verification(service, status);
            });
        }
        for operation in AuthOperation::ALL {
            let labels = [("operation", operation.as_str()), own];
            it.moves("auth_latency_seconds_count", &labels, |it| {
                it.record_auth_latency(service, operation, it.start());
            });
        }
        for limit in LimitType::ALL {
            let labels = [("limit_type", limit.as_str()), own];
            it.moves("rate_limit_exceeded_total", &labels, |it| {
                it.rate_limit_exceeded(service, limit);
            });
        }
        it.moves("retired_credential_uses_total", &[own], |it| {
            it.retired_credential_used(service);
        });
    }
    for policy in FailurePolicy::ALL {
        let labels = [("policy", policy.as_str())];
        it.moves("rate_limit_failures_total", &labels, |it| {
            it.limit_store_failed(policy);
        });
    }
}

#[test]
fn names_that_callers_make_up_add_no_series() {
    let it = Fixture::new();
    record_all(&it.metrics, MAILROOM);
    record_all(&it.metrics, OTHER_SERVICE);
    let before = it.collected.series();
    for n in 0..10_000 {
        record_all(&it.metrics, &format!("made-up-{n}"));
    }
    assert_eq!(it.collected.series(), before);
    let auths = |service| it.counter("successful_auths", &[("service_id", service)]);
    assert_eq!(auths(OTHER_SERVICE), Some(10_001));
    assert_eq!(auths(MAILROOM), Some(1));
}

#[test]
fn what_cannot_be_a_service_is_not_admitted() {
    let it = Fixture::new();
    assert!(it.metrics.admit(&"a".repeat(64)));
    let before = it.collected.series();
    for id in [OTHER_SERVICE, &"b".repeat(65)] {
        assert!(!it.metrics.admit(id), "{id}");
        it.metrics.record_successful_auth(id);
    }
    assert_eq!(it.collected.series(), before);
    let other = it.counter("successful_auths", &[("service_id", OTHER_SERVICE)]);
    assert_eq!(other, Some(2));
}

#[test]
fn as_many_services_as_a_process_can_admit_have_every_series_of_their_own() {
    let it = Fixture::new();
    let ids: Vec<_> = (2..SERVICE_LABELS)
        .map(|n| format!("service-{n}"))
        .collect();
    for id in &ids {
        assert!(it.metrics.admit(id), "{id}");
    }
    assert!(it.metrics.admit(&ids[0]), "it is admitted already");
    assert!(!it.metrics.admit("one-too-many"));
    for id in ids.iter().map(String::as_str).chain(SERVICES) {
        record_all(&it.metrics, id);
    }
    record_all(&it.metrics, "one-too-many");

    let mut shown: BTreeMap<String, usize> = BTreeMap::new();
    for (name, labels) in it.collected.series() {
        let overflow = labels.iter().any(|(key, _)| key == "otel.metric.overflow");
        assert!(!overflow, "{name}");
        *shown.entry(name).or_default() += 1;
    }
    let (all, admitted) = (SERVICE_LABELS, SERVICE_LABELS - 1);
    let expected = [
        ("auth_latency", 5 * all),
        ("failed_auths", 13 * all),
        ("rate_limit_allowed", 2 * admitted),
        ("rate_limit_current", 2 * admitted),
        ("rate_limit_exceeded", 2 * all),
        ("rate_limit_failures", 2),
        ("retired_credential_uses", all),
        ("successful_auths", all),
        ("token_verifications", 10 * all),
    ];
    let expected = expected.map(|(name, n)| (format!("skriptoteket.{name}"), n));
    assert_eq!(shown, BTreeMap::from(expected));
    let auths = |service| it.counter("successful_auths", &[("service_id", service)]);
    assert_eq!(auths(&ids[7]), Some(1));
    assert_eq!(auths(OTHER_SERVICE), Some(2));
}

#[test]
fn eight_threads_lose_nothing_while_services_are_admitted_and_metrics_collected() {
    const THREADS: u64 = 8;
    const EACH: u64 = 100_000;
    let it = Fixture::new();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let recorders: Vec<_> = (0..THREADS)
            .map(|_| {
                let metrics = it.metrics.clone();
                scope.spawn(move || {
                    let ids = [MAILROOM, "late-1", "late-50", "never"];
                    for (n, id) in (0..EACH).zip(ids.iter().cycle()) {
                        match n % 8 {
                            0..4 => metrics.record_successful_auth(id),
                            4..6 => metrics.record_failed_auth(id, AuthFailureReason::BadSecret),
                            6 => {
                                let operation = AuthOperation::TokenIssue;
                                metrics.record_auth_latency(id, operation, metrics.start());
                            }
                            _ => metrics.record_token_verification(id, TokenStatus::Valid),
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            for n in 0..100 {
                assert!(it.metrics.admit(&format!("late-{n}")));
                thread::yield_now();
            }
        });
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                it.telemetry.page().render().unwrap();
            }
        });
        for recorder in recorders {
            recorder.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    for ((name, _), n) in it.counts() {
        *sums.entry(name).or_default() += n;
    }
    sums.retain(|_, n| *n > 0.0);
    let eighth = f64::from(u32::try_from(THREADS * EACH / 8).unwrap());
    let expected = [
        ("auth_latency_seconds_count", eighth),
        ("failed_auths_total", 2.0 * eighth),
        ("successful_auths_total", 4.0 * eighth),
        ("token_verifications_total", eighth),
    ];
    let expected = expected.map(|(name, n)| (format!("skriptoteket_{name}"), n));
    assert_eq!(sums, BTreeMap::from(expected));
}

#[test]
fn what_counts_against_a_limit_falls_as_time_goes_on() {
    let it = Fixture::new();
    assert_eq!(it.usage(), [None, None]);
    it.metrics.update_rate_limit_usage(MAILROOM, USAGE);
    let daily = Some((40.0, 100.0));
    assert_eq!(it.usage(), [Some((10.0, 10.0)), daily]);
    it.clock.advance(Duration::from_millis(2_500));
    assert_eq!(it.usage(), [Some((8.0, 10.0)), daily]);
    it.clock.advance(Duration::from_secs(8));
    assert_eq!(it.usage(), [Some((0.0, 10.0)), daily]);
    it.clock.advance(Duration::from_hours(1));
    // After this time the usage is unknown.
    assert_eq!(it.usage(), [None, None]);
    let without = RateLimitUsage {
        daily: None,
        ..USAGE
    };
    it.metrics.update_rate_limit_usage(MAILROOM, without);
    assert_eq!(it.usage(), [Some((10.0, 10.0)), None]);
}

#[test]
fn the_limits_of_a_deleted_service_are_gone_until_it_is_registered_again() {
    let it = Fixture::new();
    let shown = [Some((10.0, 10.0)), Some((40.0, 100.0))];
    it.metrics.update_rate_limit_usage(MAILROOM, USAGE);
    assert_eq!(it.usage(), shown);
    it.metrics.withdraw_rate_limit_usage(MAILROOM);
    assert_eq!(it.usage(), [None, None]);
    // A request that was in progress when the service was deleted.
    it.metrics.update_rate_limit_usage(MAILROOM, USAGE);
    assert_eq!(it.usage(), [None, None]);
    assert!(it.metrics.admit(MAILROOM));
    assert_eq!(it.usage(), [None, None]);
    it.metrics.update_rate_limit_usage(MAILROOM, USAGE);
    assert_eq!(it.usage(), shown);
    assert!(it.metrics.admit(MAILROOM), "it goes on being registered");
    assert_eq!(it.usage(), shown);
    it.metrics.withdraw_rate_limit_usage("nobody-knows-it");
    assert_eq!(it.usage(), shown);
}

#[test]
fn an_attempt_is_counted_once_however_it_ends() {
    let it = Fixture::new();
    let begin = || it.metrics.auth_started(AuthOperation::Introspection);
    let failed = |service, reason| {
        let labels = [("service_id", service), ("reason", reason)];
        it.counter("failed_auths", &labels)
    };

    begin().finish(Some(MAILROOM), Ok(()));
    begin().finish(Some(MAILROOM), Err(AuthFailureReason::ExpiredToken));
    begin().finish(None, Err(AuthFailureReason::Malformed));
    drop(begin());
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _attempt = begin();
        panic!("a bug in a handler");
    }));
    assert!(panicked.is_err());

    let success = it.counter("successful_auths", &[("service_id", MAILROOM)]);
    assert_eq!(success, Some(1));
    assert_eq!(failed(MAILROOM, "expired_token"), Some(1));
    for reason in ["malformed", "cancelled", "internal_error"] {
        assert_eq!(failed(OTHER_SERVICE, reason), Some(1), "{reason}");
    }
    let attempts = it.counts().into_iter();
    let attempts = attempts.filter(|((name, _), _)| name.contains("auths_total"));
    assert_eq!(
        attempts
            .map(|(_, n)| n.to_string())
            .filter(|n| n == "1")
            .count(),
        5
    );
    let timed = |service| {
        let labels = [("service_id", service), ("operation", "introspection")];
        it.collected
            .histogram_count("skriptoteket.auth_latency", &labels)
    };
    assert_eq!([timed(MAILROOM), timed(OTHER_SERVICE)], [Some(2), Some(3)]);
}

#[test]
fn use_that_was_not_heard_of_for_long_is_not_shown_and_what_is_configured_is() {
    let it = Fixture::new();
    it.metrics.set_rate_limits(MAILROOM, 20, Some(500));
    it.metrics.update_rate_limit_usage(MAILROOM, USAGE);
    let gauge = |name: &str, limit| {
        let labels = [("limit_type", limit), ("service_id", MAILROOM)];
        it.collected.gauge(&format!("skriptoteket.{name}"), &labels)
    };
    let shown = |limit| {
        [
            gauge("rate_limit_current", limit),
            gauge("rate_limit_allowed", limit),
        ]
    };
    assert_eq!(shown("requests")[1], Some(20.0));
    assert!(shown("daily_quota")[0].is_some());
    assert_eq!(shown("daily_quota")[1], Some(500.0));
    it.clock.advance(Duration::from_mins(5));
    assert_eq!(shown("daily_quota"), [None, Some(500.0)]);
    it.metrics.withdraw_rate_limit_usage(MAILROOM);
    assert_eq!(shown("daily_quota"), [None, None]);
}

#[tokio::test]
async fn an_attempt_whose_client_goes_away_is_cancelled() {
    let it = Fixture::new();
    let attempt = it.metrics.auth_started(AuthOperation::TokenIssue);
    let request = async move {
        std::future::pending::<()>().await;
        attempt.finish(Some(MAILROOM), Ok(()));
    };
    let mut request = Box::pin(request);
    assert!(futures_util::poll!(&mut request).is_pending());
    it.clock.advance(Duration::from_secs(1));
    let labels = [("reason", "cancelled"), ("service_id", OTHER_SERVICE)];
    let before = it.counter("failed_auths", &labels);
    drop(request);
    assert_eq!(
        (before, it.counter("failed_auths", &labels)),
        (Some(0), Some(1))
    );
}

#[test]
fn the_status_of_a_refused_token_is_the_reason_of_its_refusal_where_it_is_one_of_tokens() {
    for reason in AuthFailureReason::ALL {
        let status = TokenStatus::from(reason).as_str();
        let is_one = TokenStatus::NAMES.contains(&reason.as_str());
        let expected = if is_one {
            reason.as_str()
        } else {
            "internal_error"
        };
        assert_eq!(status, expected);
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
