//! The reaper: ends expired sessions.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{SessionMetrics, SessionRepository, Sessions, census::CensusBell};
use skriptoteket_core::{clock::Timestamp, error::StoreError, observer_state::ObserverState};

/// Maximum number of sessions ended in one step: small, so that no step blocks the store for long.
const BATCH: u32 = 100;

/// A clock that falls behind the monotonic one by this much was set back. Smaller differences are the normal
/// corrections of a time server.
const SET_BACK: Duration = Duration::from_secs(1);

/// Time between two runs of the reaper.
pub const INTERVAL: Duration = Duration::from_millis(500);

/// Ends expired sessions.
#[derive(Debug)]
pub struct Reaper {
    repository: Arc<dyn SessionRepository>,
    sessions: Sessions,
    metrics: SessionMetrics,
    observer: ObserverState,
    bell: CensusBell,
    /// The monotonic time at which the store's clock was last read, and the time that it showed.
    last_look: Mutex<Option<(Duration, Timestamp)>>,
}

impl Reaper {
    /// Creates a reaper of the sessions in `repository`.
    #[must_use]
    pub fn new(
        repository: Arc<dyn SessionRepository>,
        sessions: Sessions,
        metrics: SessionMetrics,
        observer: ObserverState,
        bell: CensusBell,
    ) -> Self {
        Self {
            repository,
            sessions,
            metrics,
            observer,
            bell,
            last_look: Mutex::default(),
        }
    }

    /// Ends all expired sessions, in batches, each session once. Returns the number of sessions.
    ///
    /// After each batch it pauses for as long as the batch took, so that the store can serve others.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the store; sessions ended before the failure stay ended and recorded.
    pub async fn reap(&self) -> Result<u64, StoreError> {
        let mut reaped = 0;
        loop {
            let started_at = self.sessions.clock().monotonic();
            let ended = self.repository.reap(BATCH).await?;
            if ended.is_empty() {
                return Ok(reaped);
            }
            self.metrics.sessions_ended(&ended);
            reaped += ended.len() as u64;
            self.bell.ring();
            let took = self.sessions.clock().monotonic().saturating_sub(started_at);
            tokio::time::sleep(took).await;
        }
    }

    /// Runs both steps; a failure of one does not prevent the other.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of either step.
    pub async fn tick(&self) -> Result<(), StoreError> {
        let clock = self.settle_clock().await;
        self.reap().await?;
        clock
    }

    /// Checks whether the clock that session expiries are based on was set back since the last check, and corrects
    /// the sessions that were started or used before. The first check assumes that it may have been.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the store; the next check retries.
    pub async fn settle_clock(&self) -> Result<(), StoreError> {
        let (monotonic, now) = (
            self.sessions.clock().monotonic(),
            self.repository.now().await?,
        );
        let last = *self
            .last_look
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let was_set_back = last.is_none_or(|(at, then)| {
            let expected = then.plus(monotonic.saturating_sub(at));
            expected.since(now) >= SET_BACK
        });
        if was_set_back {
            let settled = self.repository.settle_clock(self.sessions.idle()).await?;
            if settled > 0 {
                tracing::warn!(
                    sessions = settled,
                    "the clock was set back: sessions started or used while it was ahead now expire as if used just now"
                );
                self.bell.ring();
            }
        }
        *self
            .last_look
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some((monotonic, now));
        Ok(())
    }

    /// Reaps every [`INTERVAL`], forever, while this replica is the observer: so many replicas put no more load on
    /// the store than one.
    pub async fn run(&self) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut answered = true;
        loop {
            ticks.tick().await;
            if !self.observer.observes() {
                continue;
            }
            let result = self.tick().await;
            if let (Err(error), true) = (&result, answered) {
                tracing::warn!(
                    error.type = error.error_type(), error = error.in_full(),
                    "not all expired sessions were ended; trying again"
                );
            }
            answered = result.is_ok();
        }
    }
}
