//! The recorders of metrics, one for each domain.

use std::sync::Arc;

use crate::{
    accounts::metrics::PasswordMetrics, audit::AuditMetrics, clock::Clock,
    http::metrics::HttpMetrics, login::metrics::LoginMetrics, services::AuthMetrics,
    sessions::SessionMetrics, store::StoreMetrics, telemetry::Telemetry,
};

/// What records the events of each domain. Gauges that only the observer exports are not among them.
pub(super) struct Recorders {
    pub(super) store: StoreMetrics,
    pub(super) sessions: SessionMetrics,
    pub(super) passwords: PasswordMetrics,
    pub(super) login: LoginMetrics,
    pub(super) audit: AuditMetrics,
    pub(super) auth: AuthMetrics,
    pub(super) http: HttpMetrics,
}

impl Recorders {
    /// Creates the instruments of all recorders.
    pub(super) fn new(telemetry: &Telemetry, clock: &Arc<dyn Clock>) -> Self {
        let (meter, gauge_meters) = (telemetry.meter(), telemetry.observed_meters());
        let clock = || Arc::clone(clock);
        Self {
            store: StoreMetrics::new(&meter, clock()),
            sessions: SessionMetrics::new(&meter),
            passwords: PasswordMetrics::new(&meter),
            login: LoginMetrics::new(&meter, clock()),
            audit: AuditMetrics::new(&meter),
            auth: AuthMetrics::new(&meter, &gauge_meters, clock()),
            http: HttpMetrics::new(&meter, &gauge_meters, clock()),
        }
    }
}
