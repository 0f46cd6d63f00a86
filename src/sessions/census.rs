//! The census: counts sessions now and then, and keeps the count in memory for the gauges.

use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::Notify;

use super::{Census, SessionRepository};
use crate::{
    clock::Clock,
    error::StoreError,
    telemetry::instruments::{Presence, Snapshot},
};

/// However much happens, the store is counted at most once in this time.
const LEAST_PAUSE: Duration = Duration::from_millis(250);

/// Asks for a count soon: given to those who start and end sessions.
#[derive(Clone, Debug, Default)]
pub struct CensusBell(Arc<Notify>);

impl CensusBell {
    /// Something happened to sessions. Costs an atomic operation.
    pub fn ring(&self) {
        self.0.notify_one();
    }
}

/// Refreshes the snapshot that the session gauges read.
pub struct CensusTaker {
    sessions: Arc<dyn SessionRepository>,
    presence: Presence,
    clock: Arc<dyn Clock>,
    timeout: Duration,
    bell: CensusBell,
}

impl fmt::Debug for CensusTaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CensusTaker")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl CensusTaker {
    /// Counts `sessions` into `presence`; an answer later than `timeout` is none.
    #[must_use]
    pub fn new(
        sessions: Arc<dyn SessionRepository>,
        presence: Presence,
        clock: Arc<dyn Clock>,
        timeout: Duration,
    ) -> Self {
        Self {
            sessions,
            presence,
            clock,
            timeout,
            bell: CensusBell::default(),
        }
    }

    /// What makes [`CensusTaker::run`] count before its interval is over.
    #[must_use]
    pub fn bell(&self) -> CensusBell {
        self.bell.clone()
    }

    /// Counts once and publishes the snapshot, or withdraws it if the store gives no answer in time.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the store, or [`StoreError::Unavailable`] if it was too slow.
    pub async fn take(&self) -> Result<Census, StoreError> {
        let asked_at = self.clock.monotonic();
        let answer = tokio::time::timeout(self.timeout, self.sessions.census()).await;
        let census = answer.unwrap_or_else(|_| Err(StoreError::timed_out()));
        match &census {
            Ok(census) => self.presence.publish(snapshot(census), asked_at),
            Err(_) => self.presence.withdraw(),
        }
        census
    }

    /// Counts every `interval`, and soon after the bell, for ever.
    pub async fn run(&self, interval: Duration) {
        // One count may be late and the next one slow; with both past, nobody is counting.
        self.presence
            .believe_for(2 * interval + 2 * self.timeout + LEAST_PAUSE);
        let mut answered = true;
        loop {
            let result = self.take().await;
            match (&result, answered) {
                (Err(error), true) => {
                    tracing::warn!(
                        error.type = error.error_type(), error = error.in_full(),
                        "the session store does not answer; the session gauges are absent until it does"
                    );
                }
                (Ok(_), false) => tracing::info!("the session store answers again"),
                _ => {}
            }
            answered = result.is_ok();
            let pause = LEAST_PAUSE.min(interval);
            tokio::time::sleep(pause).await;
            let rest = interval.saturating_sub(pause);
            // Either the interval is over or something happened: count again in both cases.
            let _ = tokio::time::timeout(rest, self.bell.0.notified()).await;
        }
    }
}

fn snapshot(census: &Census) -> Snapshot {
    Snapshot {
        sessions: census.sessions,
        users: census.users,
        started: census.totals.started,
        ended: census.totals.ended,
    }
}
