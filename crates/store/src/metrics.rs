//! The metrics of store operations.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use opentelemetry::{
    KeyValue,
    metrics::{BoundHistogram, Histogram, Meter},
};

use skriptoteket_core::{clock::Clock, metric::Attribute, metrics};

/// Values of `store`.
const STORES: [&str; 7] = [
    "accounts", "sessions", "limits", "audit", "services", "tokens", "quotas",
];

/// Values of `error.type`; empty (no label) if the operation succeeded.
const STORE_ERRORS: [&str; 4] = ["", "unavailable", "conflict", "corrupt"];

const STORE: Attribute = Attribute::closed("store", &STORES);
const OPERATION: Attribute = Attribute::bounded("operation", "the methods of the repositories");
const ERROR_TYPE: Attribute = Attribute::closed("error.type", &STORE_ERRORS);

metrics! {
    STORE_OPERATION_DURATION = Histogram("skriptoteket.store_operation_duration", "s", PerInstance,
        [STORE, OPERATION, ERROR_TYPE],
        "Duration of store operations, by store, operation and error type");
}

/// Bucket bounds in seconds: from an indexed read of an embedded file to a store timeout.
const STORE_BOUNDS: [f64; 12] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0,
];

/// Records the duration of store operations.
#[derive(Clone)]
pub struct StoreMetrics {
    duration: Histogram<f64>,
    /// The series of successful operations that have occurred. A lookup among all series, under a lock that all threads
    /// share, costs more than the rest of a recording.
    bound: Arc<RwLock<HashMap<StoreOperation, BoundHistogram<f64>>>>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for StoreMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreMetrics")
    }
}

/// An operation of a store: `store` is one of the catalogue's values, `operation` the name of a repository's method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoreOperation {
    /// `accounts`, `sessions`, `limits`, `audit`, `services`, `tokens` or `quotas`.
    pub store: &'static str,
    /// The name of the method.
    pub operation: &'static str,
}

impl StoreMetrics {
    /// Builds the histogram.
    #[must_use]
    pub fn new(meter: &Meter, clock: Arc<dyn Clock>) -> Self {
        let duration = STORE_OPERATION_DURATION.histogram(meter, &STORE_BOUNDS);
        Self {
            duration,
            bound: Arc::default(),
            clock,
        }
    }

    /// Returns the start time for a measurement.
    #[must_use]
    pub fn start(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Records an operation that began at `started`; `error_type` is that of the error, if there was one. Returns the
    /// duration.
    #[expect(clippy::must_use_candidate, reason = "it is called for the recording")]
    pub fn finish(
        &self,
        operation: StoreOperation,
        started: Duration,
        error_type: Option<&'static str>,
    ) -> Duration {
        let took = self.clock.monotonic().saturating_sub(started);
        self.record(operation, took.as_secs_f64(), error_type);
        took
    }

    fn record(&self, operation: StoreOperation, seconds: f64, error_type: Option<&'static str>) {
        if error_type.is_none() {
            let bound = self.bound.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(histogram) = bound.get(&operation) {
                return histogram.record(seconds);
            }
        }
        let store = KeyValue::new(STORE.key, operation.store);
        let name = KeyValue::new(OPERATION.key, operation.operation);
        if let Some(error_type) = error_type {
            let error = KeyValue::new(ERROR_TYPE.key, error_type);
            return self.duration.record(seconds, &[store, name, error]);
        }
        let mut bound = self.bound.write().unwrap_or_else(PoisonError::into_inner);
        bound
            .entry(operation)
            .or_insert_with(|| self.duration.bind(&[store, name]))
            .record(seconds);
    }
}
