//! Background tasks of the server: census, service census, reaper, account settlement and housekeeping.

use std::{future::Future, sync::Arc, time::Duration};

use super::{Tasks, services::Keys};
use crate::{
    account_lifecycle::AccountLifecycle,
    audit::AuditRepository,
    clock::{Clock, ClockWatch},
    error::StoreError,
    guard::LoginThrottleRepository,
    http::Management,
    observer_state::ObserverState,
    services::{ServiceCensus, TokenRepository},
    sessions::{census::CensusTaker, reaper::Reaper},
};

/// Interval of the search for old audit events and spent login budgets, and how many of them one step removes.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_mins(1);
const BATCH: u32 = 1_000;

/// How long the wall clock must not have been set before anything is deleted by it.
pub(super) const CLOCK_SPAN: Duration = Duration::from_mins(10);

/// Minimum delay before a failed task is restarted.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// The background tasks before they are started.
#[derive(Debug)]
pub(super) struct Background {
    pub(super) census: Arc<CensusTaker>,
    pub(super) observer: ObserverState,
    pub(super) reaper: Arc<Reaper>,
    pub(super) lifecycle: AccountLifecycle,
    pub(super) service_census: Arc<ServiceCensus>,
    pub(super) housekeeping: Arc<Housekeeping>,
}

impl Background {
    /// Starts all tasks. They run until they are aborted.
    pub(super) fn start(self) -> Tasks {
        let Self {
            census,
            observer,
            reaper,
            lifecycle,
            service_census,
            housekeeping,
        } = self;
        let count = move || {
            let census = Arc::clone(&census);
            async move { census.run().await }
        };
        let reap = move || {
            let reaper = Arc::clone(&reaper);
            async move { reaper.run().await }
        };
        let settle = move || {
            let lifecycle = lifecycle.clone();
            async move { lifecycle.run().await }
        };
        let call = move || {
            let service_census = Arc::clone(&service_census);
            async move { service_census.run().await }
        };
        let tidy = move || {
            let housekeeping = Arc::clone(&housekeeping);
            async move { housekeeping.run().await }
        };
        vec![
            // Without the census, nothing would remove a stale gauge.
            keep_running("census", count, move || observer.count_unanswered()),
            keep_running("reaper", reap, || {}),
            keep_running("account settlement", settle, || {}),
            keep_running("service census", call, || {}),
            keep_running("housekeeping", tidy, || {}),
        ]
    }
}

/// Runs a task that never ends. If it ends or panics, logs that, calls `on_failure` and restarts the task.
fn keep_running<F>(
    name: &'static str,
    task: impl Fn() -> F + Send + 'static,
    on_failure: impl Fn() + Send + 'static,
) -> tokio::task::JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        let mut running = AbortOnDrop(tokio::spawn(task()));
        loop {
            let ended = (&mut running.0).await;
            on_failure();
            tracing::error!(
                task = name,
                crashed = ended.is_err(),
                "a background task ended; restarting it"
            );
            tokio::time::sleep(RESTART_PAUSE).await;
            running = AbortOnDrop(tokio::spawn(task()));
        }
    })
}

/// A task that is aborted when its supervisor is dropped.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
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
    pub(super) readiness: Management,
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_is_told_of_and_comes_back() {
        let starts = Arc::new(AtomicU32::new(0));
        let (failed, back) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (counted, again) = (Arc::clone(&starts), Arc::clone(&back));
        let task = move || {
            let (counted, again) = (Arc::clone(&counted), Arc::clone(&again));
            async move {
                assert!(counted.fetch_add(1, Ordering::SeqCst) > 0, "the first time");
                again.notify_one();
                std::future::pending::<()>().await;
            }
        };
        let on_failure = Arc::clone(&failed);
        let running = keep_running("test", task, move || on_failure.notify_one());
        failed.notified().await;
        back.notified().await;
        assert_eq!(starts.load(Ordering::SeqCst), 2);
        running.abort();
    }
}
