//! The service census: reads all services periodically, for the gauges.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    HealthPolicy, Register, Service, ServiceCache, ServiceGauges, ServiceRepository, ServiceSample,
    ServiceSnapshot, TokenRepository, signs_at,
};
use skriptoteket_core::{
    clock::{Clock, Timestamp},
    error::StoreError,
};

/// Refreshes the snapshot that the service gauges read, while this replica is the one that exports them.
pub struct ServiceCensus {
    services: Arc<dyn ServiceRepository>,
    tokens: Arc<dyn TokenRepository>,
    gauges: ServiceGauges,
    service_cache: ServiceCache,
    policy: HealthPolicy,
    clock: Arc<dyn Clock>,
    interval: Duration,
}

impl fmt::Debug for ServiceCensus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceCensus({:?})", self.policy)
    }
}

impl ServiceCensus {
    /// Creates a census of these repositories that publishes to `gauges` every `interval`. It also refreshes
    /// `service_cache`.
    #[must_use]
    pub const fn new(
        services: Arc<dyn ServiceRepository>,
        tokens: Arc<dyn TokenRepository>,
        gauges: ServiceGauges,
        service_cache: ServiceCache,
        policy: HealthPolicy,
        clock: Arc<dyn Clock>,
        interval: Duration,
    ) -> Self {
        Self {
            services,
            tokens,
            gauges,
            service_cache,
            policy,
            clock,
            interval,
        }
    }

    /// Reads periodically. Never returns.
    pub async fn run(&self) {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // A service that was registered through another replica gets its series here too, before its first request.
            if let Err(error) = self.service_cache.snapshot().await {
                tracing::debug!(%error, "the service cache could not be refreshed");
            }
            if !self.gauges.observes() {
                continue;
            }
            if let Err(error) = self.take().await {
                tracing::debug!(error.type = error.error_type(), "the services could not be read for the gauges");
            }
        }
    }

    /// Reads all services once.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the previous snapshot stays until it is too old.
    pub async fn take(&self) -> Result<(), StoreError> {
        let asked_at = self.clock.monotonic();
        let Register {
            services, totals, ..
        } = self.services.all().await?;
        let keys = self.tokens.keys().await?;
        let now = self.clock.now();
        let signing = signs_at(&keys, now, |key| key.active_from);
        let snapshot = ServiceSnapshot {
            services: services.iter().map(|it| self.entry(it, now)).collect(),
            registrations: [totals.registered, totals.deleted],
            rotations: [totals.rotated, totals.rotations_refused],
            signing_key_age: signing.map(|key| now.since(key.active_from)),
        };
        self.gauges.publish(snapshot, asked_at);
        Ok(())
    }

    fn entry(&self, service: &Service, now: Timestamp) -> ServiceSample {
        // A service with public keys can always authenticate by assertions: an alert on its secret would demand a
        // pointless rotation.
        let by_secret = !service.disabled && service.public_keys.is_none();
        let newest = service.credentials.first().filter(|_| by_secret);
        let expires_at = newest.and_then(|credential| credential.expires_at);
        ServiceSample {
            service: service.id.to_arc(),
            health: service.health(now, &self.policy),
            credential_expires_in: expires_at.map(|at| {
                let left = at.since(now).as_secs_f64();
                left - now.since(at).as_secs_f64()
            }),
        }
    }
}
