//! A panic while limits of services are exported or recorded.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, Ordering},
};

use super::*;
use skriptoteket_core::clock::Timestamp;

/// A clock that panics on demand.
#[derive(Debug, Default)]
struct BrokenClock(AtomicBool);

impl Clock for BrokenClock {
    fn now(&self) -> Timestamp {
        Timestamp::default()
    }

    fn monotonic(&self) -> Duration {
        assert!(!self.0.load(Ordering::Relaxed), "a bug in a clock");
        Duration::ZERO
    }
}

#[test]
fn a_panic_while_limits_are_shown_or_recorded_is_over_when_it_is_over() {
    let (telemetry, collected) = Telemetry::in_memory(&[METRICS]);
    let clock = Arc::new(BrokenClock::default());
    let metrics = AuthMetrics::new(
        &telemetry.meter(),
        &telemetry.observed_meters(),
        Arc::<BrokenClock>::clone(&clock),
    );
    metrics.admit(MAILROOM);
    metrics.update_rate_limit_usage(MAILROOM, USAGE);
    let labels = [("limit_type", "requests"), ("service_id", MAILROOM)];
    let current = || {
        let page = page_of(&telemetry).value("skriptoteket_rate_limit_current", &labels);
        assert_eq!(
            page,
            collected.gauge("skriptoteket.rate_limit_current", &labels)
        );
        page
    };
    assert_eq!(current(), Some(10.0));

    clock.0.store(true, Ordering::Relaxed);
    assert_eq!(current(), None);
    let recorded = catch_unwind(AssertUnwindSafe(|| {
        metrics.update_rate_limit_usage(MAILROOM, USAGE);
    }));
    assert!(recorded.is_err());
    metrics.record_successful_auth(MAILROOM);
    let page = page_of(&telemetry);
    let auths = page.value(
        "skriptoteket_successful_auths_total",
        &[("service_id", MAILROOM)],
    );
    assert_eq!(auths, Some(1.0));

    clock.0.store(false, Ordering::Relaxed);
    metrics.update_rate_limit_usage(MAILROOM, USAGE);
    assert_eq!(current(), Some(10.0));
}
