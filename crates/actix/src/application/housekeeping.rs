//! Work that is done once a minute.

use std::{sync::Arc, time::Duration};

use skriptoteket_core::error::StoreError;
use skriptoteket_login::guard::LoginThrottleRepository;
use tokio::{task::JoinHandle, time::MissedTickBehavior};

use super::supervision::keep_running;
use crate::readiness::Readiness;

const INTERVAL: Duration = Duration::from_mins(1);

/// Maximum number of states that one call removes.
const BATCH: u32 = 1_000;

/// Removes outdated state of login throttling, and logs stores that do not respond even while there are no requests.
#[derive(Debug)]
pub(super) struct Housekeeping {
    pub(super) limits: Arc<dyn LoginThrottleRepository>,
    /// How far in the future a state can expire.
    pub(super) horizon: Duration,
    pub(super) readiness: Readiness,
}

impl Housekeeping {
    /// Starts it. It runs until it is aborted.
    pub(super) fn start(self) -> JoinHandle<()> {
        let this = Arc::new(self);
        let task = move || {
            let this = Arc::clone(&this);
            async move { this.run().await }
        };
        keep_running("housekeeping", task, || {})
    }

    async fn run(&self) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.readiness.faults().await;
            if let Err(error) = self.prune().await {
                tracing::warn!(error.type = error.error_type(), error = error.in_full(), "housekeeping failed; will retry");
            }
        }
    }

    async fn prune(&self) -> Result<(), StoreError> {
        while self.limits.prune(BATCH, self.horizon).await? > 0 {}
        Ok(())
    }
}
