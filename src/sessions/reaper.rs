//! The reaper: ends sessions that have expired.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{SessionMetrics, SessionRepository, Sessions, census::CensusBell};
use crate::{clock::Timestamp, error::StoreError, observer_state::ObserverState};

/// Sessions ended in one step: small, so that no step holds the store for long.
const BATCH: u32 = 100;

/// A clock that falls behind the monotonic one by this was set back. Less is a time server at its work.
const SET_BACK: Duration = Duration::from_secs(1);

/// How often the reaper looks.
pub const INTERVAL: Duration = Duration::from_millis(500);

/// Ends sessions that have expired.
#[derive(Debug)]
pub struct Reaper {
    repository: Arc<dyn SessionRepository>,
    sessions: Sessions,
    metrics: SessionMetrics,
    observer: ObserverState,
    bell: CensusBell,
    /// The monotonic time of the last look at the store's clock, and what that showed.
    last_look: Mutex<Option<(Duration, Timestamp)>>,
}

impl Reaper {
    /// A reaper of the sessions in `repository`.
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

    /// Ends all sessions that have expired, in batches, each once. Returns how many.
    ///
    /// After each batch the store has as much time for others as the batch took.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the store; what was ended before it stays ended and recorded.
    pub async fn reap(&self) -> Result<u64, StoreError> {
        let mut reaped = 0;
        loop {
            let begun = self.sessions.clock().monotonic();
            let ended = self.repository.reap(BATCH).await?;
            if ended.is_empty() {
                return Ok(reaped);
            }
            self.metrics.sessions_ended(&ended);
            reaped += ended.len() as u64;
            self.bell.ring();
            let took = self.sessions.clock().monotonic().saturating_sub(begun);
            tokio::time::sleep(took).await;
        }
    }

    /// Does all of it: that one fails does not keep the other from its work.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of either.
    pub async fn tick(&self) -> Result<(), StoreError> {
        let clock = self.settle_clock().await;
        self.reap().await?;
        clock
    }

    /// Looks whether the clock by which sessions live was set back since the last look, and ends what that would mean to
    /// sessions that were started or used before. At the first look it may have been.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the store; it is tried again with the next look.
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
                    "the clock was set back: sessions that were started or used while it was ahead have expiries as if that were now"
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

    /// Reaps every [`INTERVAL`], without end, while this replica observes: many replicas are no more load for the store than one.
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
