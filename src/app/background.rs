//! Background tasks of the server: census, service census, reaper, account settlement and housekeeping.

use std::{sync::Arc, time::Duration};

use skriptoteket_actix::application::{SessionServices, supervision::keep_running};

use super::{Tasks, services::Keys};
use crate::{
    audit::AuditRepository,
    clock::{Clock, ClockWatch},
    error::StoreError,
    guard::LoginThrottleRepository,
    http::Readiness,
    services::{ServiceCensus, TokenRepository},
};

/// Interval of the search for old audit events and spent login budgets, and how many of them one step removes.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_mins(1);
const BATCH: u32 = 1_000;

/// How long the wall clock must not have been set before anything is deleted by it.
pub(super) const CLOCK_SPAN: Duration = Duration::from_mins(10);

/// The background tasks before they are started.
#[derive(Debug)]
pub(super) struct Background {
    pub(super) sessions: SessionServices,
    pub(super) service_census: Arc<ServiceCensus>,
    pub(super) housekeeping: Arc<Housekeeping>,
}

impl Background {
    /// Starts all tasks. They run until they are aborted.
    pub(super) fn start(self) -> Tasks {
        let Self {
            sessions,
            service_census,
            housekeeping,
        } = self;
        let call = move || {
            let service_census = Arc::clone(&service_census);
            async move { service_census.run().await }
        };
        let tidy = move || {
            let housekeeping = Arc::clone(&housekeeping);
            async move { housekeeping.run().await }
        };
        let mut tasks = sessions.start();
        tasks.push(keep_running("service census", call, || {}));
        tasks.push(keep_running("housekeeping", tidy, || {}));
        tasks
    }
}

/// Removes expired data.
#[derive(Debug)]
pub(super) struct Housekeeping {
    pub(super) audit: Arc<dyn AuditRepository>,
    pub(super) limits: Arc<dyn LoginThrottleRepository>,
    /// How far in the future the state of a login budget can expire.
    pub(super) limits_horizon: Duration,
    pub(super) tokens: Arc<dyn TokenRepository>,
    pub(super) keys: Keys,
    pub(super) clock: Arc<dyn Clock>,
    /// Shows whether the clock can be trusted.
    pub(super) watch: ClockWatch,
    /// Shows whether the stores can be used.
    pub(super) readiness: Readiness,
    pub(super) audit_retention: Duration,
}

impl Housekeeping {
    async fn run(&self) {
        let mut ticks = tokio::time::interval(HOUSEKEEPING_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // Logs store faults even if there are no logins and no requests to /readyz: a full disk should be known
            // early.
            self.readiness.faults().await;
            let believed = self.watch.has_kept_pace();
            if let Err(error) = self.keys.rotate_if_due(believed).await {
                tracing::warn!(%error, "no new signing key could be created; will retry");
            }
            if let Err(error) = self.tidy(believed).await {
                tracing::warn!(error.type = error.error_type(), error = error.in_full(), "housekeeping failed; will retry");
            }
        }
    }

    /// Removes old data. If the clock is not trusted (`believed` is false), no audit event is removed or moved, and no
    /// revocation or key is removed, because the clock may be wrong. A token would become valid again if its revocation
    /// were removed too early.
    async fn tidy(&self, believed: bool) -> Result<(), StoreError> {
        let retention = i64::try_from(self.audit_retention.as_millis()).unwrap_or(i64::MAX);
        let now = self.clock.now().as_millis();
        let before = crate::clock::Timestamp::from_millis(now.saturating_sub(retention));
        while believed && self.audit.prune(before, BATCH).await? > 0 {}
        while self.limits.prune(BATCH, self.limits_horizon).await? > 0 {}
        while believed && self.tokens.prune(BATCH).await? > 0 {}
        Ok(())
    }
}
