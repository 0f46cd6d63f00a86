//! Each recorder changes one series, for each service that is admitted, and loses nothing.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use super::*;
use crate::testing::record_all;
use skriptoteket_core::metric::SERVICE_LABELS;

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
