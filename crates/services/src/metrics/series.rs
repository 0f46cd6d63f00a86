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
    AUTH_LATENCY, AuthFailureReason, AuthOperation, FAILED_AUTHS, LimitType, RATE_LIMIT_EXCEEDED,
    RETIRED_CREDENTIAL_USES, RateLimitUsage, SUCCESSFUL_AUTHS, TOKEN_VERIFICATIONS, TokenStatus,
};
use skriptoteket_core::{
    clock::Clock,
    metric::{Attribute, Label},
};

/// Bounds in seconds: from a remembered token to a store timeout.
const LATENCY_BOUNDS: [f64; 14] = [
    0.000_01, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1,
    0.5, 1.0,
];

/// The synchronous instruments with a `service_id` label.
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
        Self {
            successes: SUCCESSFUL_AUTHS.counter(meter),
            failures: FAILED_AUTHS.counter(meter),
            verifications: TOKEN_VERIFICATIONS.counter(meter),
            latency: AUTH_LATENCY.histogram(meter, &LATENCY_BOUNDS),
            exceeded: RATE_LIMIT_EXCEEDED.counter(meter),
            retired: RETIRED_CREDENTIAL_USES.counter(meter),
        }
    }

    /// Creates the series of a service, its counters at 0.
    pub(super) fn series(&self, service: &str) -> Series {
        let service: Arc<str> = service.into();
        let born = |counter: &Counter<u64>, labels: &[KeyValue]| {
            let bound = counter.bind(labels);
            bound.add(0);
            bound
        };
        let own = [service_label(&service)];
        Series {
            successes: born(&self.successes, &own),
            failures: AuthFailureReason::ALL.map(|it| born(&self.failures, &labels(&service, it))),
            verifications: TokenStatus::ALL
                .map(|it| born(&self.verifications, &labels(&service, it))),
            latency: array::from_fn(|_| OnceLock::new()),
            latencies: self.latency.clone(),
            exceeded: LimitType::ALL.map(|it| born(&self.exceeded, &labels(&service, it))),
            retired: born(&self.retired, &own),
            usage: Mutex::default(),
            limits: Mutex::default(),
            service,
        }
    }
}

fn service_label(service: &Arc<str>) -> KeyValue {
    KeyValue::new(Attribute::SERVICE_ID.key, Arc::clone(service))
}

/// Returns the labels in the order of their keys: otherwise the SDK stores each series under two keys, and sorts them
/// again at every observation.
fn labels(service: &Arc<str>, value: impl Label) -> [KeyValue; 2] {
    let mut labels = [service_label(service), value.key_value()];
    labels.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    labels
}

/// The series of one service, each looked up once: recording builds no labels and does no look-ups.
pub(super) struct Series {
    service: Arc<str>,
    pub(super) successes: BoundCounter<u64>,
    pub(super) failures: [BoundCounter<u64>; AuthFailureReason::ALL.len()],
    pub(super) verifications: [BoundCounter<u64>; TokenStatus::ALL.len()],
    latencies: Histogram<f64>,
    /// Bound by the first latency: a histogram is 17 lines of the metrics page, and few services use all operations.
    latency: [OnceLock<BoundHistogram<f64>>; AuthOperation::ALL.len()],
    pub(super) exceeded: [BoundCounter<u64>; LimitType::ALL.len()],
    pub(super) retired: BoundCounter<u64>,
    /// Locked only for a copy.
    usage: Mutex<Shown>,
    /// The configured limits, by [`LimitType`]; locked only for a copy.
    limits: Mutex<Option<Limits>>,
}

/// The values of a service's limits, by [`LimitType`]; `None` if there is no such limit.
type Limits = [Option<u64>; LimitType::ALL.len()];

/// The exported limit usage of a service.
#[derive(Clone, Copy, Default)]
enum Shown {
    #[default]
    Nothing,
    /// This usage, as of a monotonic time.
    Usage(RateLimitUsage, Duration),
    /// None, even if a request that was still in progress when the service was deleted reports a usage.
    Withdrawn,
}

impl Series {
    pub(super) fn service(&self) -> &str {
        &self.service
    }

    /// Returns the latency series of an operation.
    pub(super) fn latency(&self, operation: AuthOperation) -> &BoundHistogram<f64> {
        self.latency[operation.index()].get_or_init(|| {
            let labels = labels(&self.service, operation);
            self.latencies.bind(&labels)
        })
    }

    /// Returns the labels of one of the limits.
    pub(super) fn limit(&self, limit: LimitType) -> [KeyValue; 2] {
        labels(&self.service, limit)
    }

    /// Returns the limit usage recorded last, and when.
    pub(super) fn usage(&self) -> Option<(RateLimitUsage, Duration)> {
        match *self.shown() {
            Shown::Usage(usage, at) => Some((usage, at)),
            Shown::Nothing | Shown::Withdrawn => None,
        }
    }

    pub(super) fn use_limits(&self, usage: RateLimitUsage, clock: &dyn Clock) {
        let mut shown = self.shown();
        if !matches!(*shown, Shown::Withdrawn) {
            // The clock is read under the lock: otherwise a delayed thread would replace a more recent usage.
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

    /// Returns the values of the limits: as configured, or, if that is not known, as reported with the last charged
    /// request.
    pub(super) fn allowed(&self) -> Limits {
        if let Some(limits) = *self.configured() {
            return limits;
        }
        self.usage()
            .map_or([None; LimitType::ALL.len()], |(usage, _)| usage.allowed())
    }

    /// Exports limit usage again, because the service is registered, perhaps anew.
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
