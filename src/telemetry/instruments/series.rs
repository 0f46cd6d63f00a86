//! The series of one service.

use std::{
    array,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use opentelemetry::{
    KeyValue,
    metrics::{BoundCounter, BoundHistogram, Counter, Histogram, Meter},
};

use super::{
    AUTH_FAILURES, AUTH_OPERATIONS, AuthOperation, LIMIT_TYPES, LimitType, RateLimitUsage,
    TOKEN_STATUSES,
};
use crate::clock::Clock;

/// Bounds in seconds: from a token that is remembered to a store that times out.
const LATENCY_BOUNDS: [f64; 14] = [
    0.000_01, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1,
    0.5, 1.0,
];

/// The instruments that have `service_id` among their labels and are recorded as things happen.
pub(super) struct ServiceInstruments {
    successes: Counter<u64>,
    failures: Counter<u64>,
    verifications: Counter<u64>,
    latency: Histogram<f64>,
    exceeded: Counter<u64>,
    retired: Counter<u64>,
}

impl ServiceInstruments {
    pub(super) fn new(meter: &Meter) -> Self {
        let counter = |name, unit, description| {
            let counter = meter.u64_counter(name).with_unit(unit);
            counter.with_description(description).build()
        };
        Self {
            successes: counter(
                "skriptoteket.successful_auths",
                "{auth}",
                "Authentications of services that succeeded",
            ),
            failures: counter(
                "skriptoteket.failed_auths",
                "{auth}",
                "Authentications of services that failed, by reason",
            ),
            verifications: counter(
                "skriptoteket.token_verifications",
                "{verification}",
                "Access tokens looked at, by what they were found to be",
            ),
            latency: meter
                .f64_histogram("skriptoteket.auth_latency")
                .with_unit("s")
                .with_description("How long authentications of services took, by what for")
                .with_boundaries(LATENCY_BOUNDS.to_vec())
                .build(),
            exceeded: counter(
                "skriptoteket.rate_limit_exceeded",
                "{rejection}",
                "Requests of services refused because a limit was reached",
            ),
            retired: counter(
                "skriptoteket.retired_credential_uses",
                "{use}",
                "Authentications with a credential that a rotation has replaced",
            ),
        }
    }

    /// The series of a service, its counters at 0.
    pub(super) fn series(&self, service: &str) -> Series {
        let service: Arc<str> = service.into();
        let born = |counter: &Counter<u64>, labels: &[KeyValue]| {
            let bound = counter.bind(labels);
            bound.add(0);
            bound
        };
        let own = [service_label(&service)];
        let each = |counter, key, value| born(counter, &labels(&service, key, value));
        Series {
            successes: born(&self.successes, &own),
            failures: AUTH_FAILURES.map(|it| each(&self.failures, "reason", it)),
            verifications: TOKEN_STATUSES.map(|it| each(&self.verifications, "status", it)),
            latency: array::from_fn(|_| OnceLock::new()),
            latencies: self.latency.clone(),
            exceeded: LIMIT_TYPES.map(|it| each(&self.exceeded, "limit_type", it)),
            retired: born(&self.retired, &own),
            usage: Mutex::default(),
            limits: Mutex::default(),
            service,
        }
    }
}

fn service_label(service: &Arc<str>) -> KeyValue {
    KeyValue::new("service_id", Arc::clone(service))
}

/// In the order of their keys: else the SDK keeps each series under two keys, and sorts them anew when it observes.
fn labels(service: &Arc<str>, key: &'static str, value: &'static str) -> [KeyValue; 2] {
    let mut labels = [service_label(service), KeyValue::new(key, value)];
    labels.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    labels
}

/// The series of one service, each found once: recording builds no labels and looks nothing up.
pub(super) struct Series {
    service: Arc<str>,
    pub(super) successes: BoundCounter<u64>,
    pub(super) failures: [BoundCounter<u64>; AUTH_FAILURES.len()],
    pub(super) verifications: [BoundCounter<u64>; TOKEN_STATUSES.len()],
    latencies: Histogram<f64>,
    /// Bound by the first latency: a histogram is 17 lines of the page, and few services use all operations.
    latency: [OnceLock<BoundHistogram<f64>>; AUTH_OPERATIONS.len()],
    pub(super) exceeded: [BoundCounter<u64>; LIMIT_TYPES.len()],
    pub(super) retired: BoundCounter<u64>,
    /// Held for a copy.
    usage: Mutex<Shown>,
    /// What is configured, by [`LimitType`]; held for a copy.
    limits: Mutex<Option<Limits>>,
}

/// What the limits of a service allow, by [`LimitType`]; none where there is no such limit.
type Limits = [Option<u64>; LIMIT_TYPES.len()];

/// What is shown of the limits of a service.
#[derive(Clone, Copy, Default)]
enum Shown {
    #[default]
    Nothing,
    /// This, which was so at a monotonic time.
    Usage(RateLimitUsage, Duration),
    /// Nothing, whatever a request says that was still under way when the service went.
    Withdrawn,
}

impl Series {
    pub(super) fn service(&self) -> &str {
        &self.service
    }

    /// The series of an operation's latency.
    pub(super) fn latency(&self, operation: AuthOperation) -> &BoundHistogram<f64> {
        self.latency[operation as usize].get_or_init(|| {
            let labels = labels(&self.service, "operation", operation.as_str());
            self.latencies.bind(&labels)
        })
    }

    /// The labels of one of its limits.
    pub(super) fn limit(&self, limit: LimitType) -> [KeyValue; 2] {
        labels(&self.service, "limit_type", limit.as_str())
    }

    /// What was recorded last of its limits, and when.
    pub(super) fn usage(&self) -> Option<(RateLimitUsage, Duration)> {
        match *self.shown() {
            Shown::Usage(usage, at) => Some((usage, at)),
            Shown::Nothing | Shown::Withdrawn => None,
        }
    }

    pub(super) fn use_limits(&self, usage: RateLimitUsage, clock: &dyn Clock) {
        let mut shown = self.shown();
        if !matches!(*shown, Shown::Withdrawn) {
            // Read in here, or whoever was overtaken would set it back.
            *shown = Shown::Usage(usage, clock.monotonic());
        }
    }

    pub(super) fn withdraw_usage(&self) {
        *self.shown() = Shown::Withdrawn;
        *self.configured() = None;
    }

    pub(super) fn set_limits(&self, limits: Limits) {
        *self.configured() = Some(limits);
    }

    /// What its limits allow: as configured, or, where that was never said, as a request was charged.
    pub(super) fn allowed(&self) -> Limits {
        if let Some(limits) = *self.configured() {
            return limits;
        }
        self.usage()
            .map_or([None; LIMIT_TYPES.len()], |(usage, _)| usage.allowed())
    }

    /// The service is registered, perhaps anew.
    pub(super) fn admit_again(&self) {
        let mut shown = self.shown();
        if matches!(*shown, Shown::Withdrawn) {
            *shown = Shown::Nothing;
        }
    }

    fn configured(&self) -> MutexGuard<'_, Option<Limits>> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
