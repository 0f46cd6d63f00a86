//! The metrics of the audit trail.

use std::fmt;

use opentelemetry::metrics::{Counter, Meter};

use skriptoteket_core::metrics;

metrics! {
    AUDIT_EVENTS_DROPPED = Counter("skriptoteket.audit_events_dropped", "{event}", PerInstance, [],
        "Audit events that could not be written to the audit trail");
}

/// Counts lost audit events. Cheap to clone.
#[derive(Clone)]
pub struct AuditMetrics {
    dropped: Counter<u64>,
}

impl fmt::Debug for AuditMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditMetrics")
    }
}

impl AuditMetrics {
    /// Creates the counter and initialises it to 0.
    #[must_use]
    pub fn new(meter: &Meter) -> Self {
        let dropped = AUDIT_EVENTS_DROPPED.counter(meter);
        dropped.add(0, &[]);
        Self { dropped }
    }

    /// Counts events that were lost.
    pub fn events_dropped(&self, n: u64) {
        self.dropped.add(n, &[]);
    }
}
