//! The roll call: reads all services now and then, for the gauges.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    Directory, Health, HealthPolicy, Register, Service, ServiceRepository, TokenRepository,
    signs_at,
};
use crate::{
    clock::{Clock, Timestamp},
    error::StoreError,
    telemetry::instruments::{Roll, RollEntry, RollSnapshot},
};

/// Refreshes the snapshot that the gauges of services read, as long as it is this replica that shows them.
pub struct RollCall {
    services: Arc<dyn ServiceRepository>,
    tokens: Arc<dyn TokenRepository>,
    roll: Roll,
    directory: Directory,
    policy: HealthPolicy,
    clock: Arc<dyn Clock>,
    interval: Duration,
}

impl fmt::Debug for RollCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RollCall({:?})", self.policy)
    }
}

impl RollCall {
    /// A roll call of these repositories into `roll`, every `interval`, which renews `directory` too.
    #[must_use]
    pub const fn new(
        services: Arc<dyn ServiceRepository>,
        tokens: Arc<dyn TokenRepository>,
        roll: Roll,
        directory: Directory,
        policy: HealthPolicy,
        clock: Arc<dyn Clock>,
        interval: Duration,
    ) -> Self {
        Self {
            services,
            tokens,
            roll,
            directory,
            policy,
            clock,
            interval,
        }
    }

    /// Reads for ever, now and then.
    pub async fn run(&self) {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // Whoever is registered elsewhere has series here too, before it does anything.
            if let Err(error) = self.directory.view().await {
                tracing::debug!(%error, "the directory could not be renewed");
            }
            if !self.roll.observes() {
                continue;
            }
            if let Err(error) = self.take().await {
                tracing::debug!(error.type = error.error_type(), "the services could not be read for the gauges");
            }
        }
    }

    /// Reads once.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; what was read before stays until it is too old.
    pub async fn take(&self) -> Result<(), StoreError> {
        let asked_at = self.clock.monotonic();
        let Register {
            services, totals, ..
        } = self.services.all().await?;
        let keys = self.tokens.keys().await?;
        let now = self.clock.now();
        let signing = signs_at(&keys, now, |key| key.active_from);
        let snapshot = RollSnapshot {
            services: services.iter().map(|it| self.entry(it, now)).collect(),
            registrations: [totals.registered, totals.deleted],
            rotations: [totals.rotated, totals.rotations_refused],
            signing_key_age: signing.map(|key| now.since(key.active_from)),
        };
        self.roll.publish(snapshot, asked_at);
        Ok(())
    }

    fn entry(&self, service: &Service, now: Timestamp) -> RollEntry {
        let newest = service.credentials.first().filter(|_| !service.disabled);
        let expires_at = newest.and_then(|credential| credential.expires_at);
        RollEntry {
            service: service.id.to_arc(),
            health: Health::of(service, now, &self.policy) as usize,
            credential_expires_in: expires_at.map(|at| {
                let left = at.since(now).as_secs_f64();
                left - now.since(at).as_secs_f64()
            }),
        }
    }
}
