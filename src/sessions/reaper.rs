//! The reaper: ends sessions that have expired, and brings account changes to sessions where that was left undone.

use std::{sync::Arc, time::Duration};

use super::{SessionRepository, Sessions, census::CensusBell};
use crate::{accounts::AccountRepository, error::StoreError, telemetry::instruments::Presence};

/// Sessions ended in one step: small, so that no step holds the store for long.
const BATCH: u32 = 500;

/// How often the reaper looks.
pub const INTERVAL: Duration = Duration::from_millis(500);

/// Ends what has expired and settles what is unsettled.
#[derive(Debug)]
pub struct Reaper {
    repository: Arc<dyn SessionRepository>,
    accounts: Arc<dyn AccountRepository>,
    sessions: Sessions,
    presence: Presence,
    bell: CensusBell,
}

impl Reaper {
    /// A reaper for these stores.
    #[must_use]
    pub fn new(
        repository: Arc<dyn SessionRepository>,
        accounts: Arc<dyn AccountRepository>,
        sessions: Sessions,
        presence: Presence,
        bell: CensusBell,
    ) -> Self {
        Self {
            repository,
            accounts,
            sessions,
            presence,
            bell,
        }
    }

    /// Ends all sessions that have expired, in batches, each once. Returns how many.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the store; what was ended before it stays ended and recorded.
    pub async fn reap(&self) -> Result<u64, StoreError> {
        let mut reaped = 0;
        loop {
            let ended = self.repository.reap(BATCH).await?;
            if ended.is_empty() {
                return Ok(reaped);
            }
            for end in &ended {
                self.presence.session_ended(end.reason.as_str(), end.lasted);
            }
            reaped += ended.len() as u64;
            self.bell.ring();
        }
    }

    /// Brings changes of role and of `disabled` to the sessions where whoever made the change did not get to it: a
    /// process that died in between, or one that has no access to the session store. Returns how many accounts.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of either store.
    pub async fn settle(&self) -> Result<usize, StoreError> {
        let unsettled = self.accounts.unsettled(BATCH).await?;
        let mut outcome = Ok(unsettled.len());
        for user in &unsettled {
            if let Err(error) = self.sessions.settle(user.id).await {
                outcome = Err(error);
            }
        }
        outcome
    }

    /// Does both: that one of them fails does not keep the other from its work.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of either.
    pub async fn tick(&self) -> Result<(), StoreError> {
        let settled = self.settle().await;
        self.reap().await?;
        settled.map(drop)
    }

    /// Does both every [`INTERVAL`], for ever.
    pub async fn run(&self) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut answered = true;
        loop {
            ticks.tick().await;
            let result = self.tick().await;
            if let (Err(error), true) = (&result, answered) {
                tracing::warn!(
                    error.type = error.error_type(), error = error.in_full(),
                    "not all expired sessions were ended, or not all account changes brought to sessions; trying again"
                );
            }
            answered = result.is_ok();
        }
    }
}
