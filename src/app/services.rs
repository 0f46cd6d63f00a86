//! Wires what services need: registration, tokens and rate limits.

use std::{ops::Deref, sync::Arc, time::Duration};

use url::Url;

use crate::{
    audit::{AdminAudit, Kind, SUCCESS},
    clock::Clock,
    config::Config,
    observer_state::ObserverState,
    services::{
        AuthMetrics, HealthPolicy, KeyRotationError, KeyRotator, ServiceCensus, ServiceGauges,
        ServiceParts, ServiceStores, TokenPolicy,
    },
    store::Stores,
    telemetry::Meter,
};

/// The parts that handle services, as the server uses them.
#[derive(Debug)]
pub(super) struct Services(ServiceParts);

impl Deref for Services {
    type Target = ServiceParts;

    fn deref(&self) -> &ServiceParts {
        &self.0
    }
}

/// The signing keys, and the audit trail that records new ones.
#[derive(Debug)]
pub(super) struct Keys {
    key_rotator: KeyRotator,
    audit: AdminAudit,
}

/// Wires the parts over these stores. `public_url` is where clients reach the service.
pub(super) fn open(
    config: &Config,
    stores: &Stores,
    public_url: &Url,
    metrics: &AuthMetrics,
    clock: &Arc<dyn Clock>,
) -> Services {
    let stores = ServiceStores {
        services: Arc::clone(&stores.services),
        tokens: Arc::clone(&stores.tokens),
        quotas: Arc::clone(&stores.quotas),
    };
    let policy = token_policy(config, public_url);
    Services(ServiceParts::new(
        &stores,
        &config.services,
        policy,
        metrics,
        clock,
    ))
}

impl Keys {
    /// Creates a signing key if one is due, as an action of the service itself; see [`KeyRotator::rotate_if_due`].
    pub(super) async fn rotate_if_due(&self, believed: bool) -> Result<bool, KeyRotationError> {
        let recording = self.audit.begin_if_due(Kind::KeyRotate);
        let made = recording
            .during(self.key_rotator.rotate_if_due(believed))
            .await;
        recording.finish(SUCCESS);
        made
    }
}

/// Returns the contents of tokens. An audience that follows from `public_url` gets its actual port, too.
fn token_policy(config: &Config, public_url: &Url) -> TokenPolicy {
    let issuer = public_url.origin().ascii_serialization();
    let configured = config.public_url.origin().ascii_serialization();
    let real = |it: &String| {
        if *it == configured {
            issuer.clone()
        } else {
            it.clone()
        }
    };
    TokenPolicy {
        audiences: config.services.audiences.iter().map(real).collect(),
        lifetime: config.services.token_lifetime,
        issuer,
    }
}

impl Services {
    /// Creates the first signing key and reads the stored services, so that every service has its series before its
    /// first request. Keys are recorded in `audit`.
    pub(super) async fn start(&self, audit: &AdminAudit) -> anyhow::Result<Keys> {
        let keys = Keys {
            key_rotator: self.key_rotator.clone(),
            audit: audit.clone(),
        };
        keys.rotate_if_due(false).await?;
        self.service_cache.snapshot().await?;
        Ok(keys)
    }

    /// Returns the task that reads the services for the gauges, at the interval of the session census.
    pub(super) fn service_census(
        &self,
        config: &Config,
        stores: &Stores,
        meters: &[Meter],
        observer: &ObserverState,
        clock: &Arc<dyn Clock>,
    ) -> ServiceCensus {
        // Allows for two failed counts.
        let believed_for = 2 * config.census_interval + 2 * config.store_timeout;
        let gauges = ServiceGauges::new(meters, observer.clone(), Arc::clone(clock), believed_for);
        let policy = HealthPolicy {
            degraded_after: config.services.degraded_after,
            stale_after: config.services.stale_after,
        };
        ServiceCensus::new(
            Arc::clone(&stores.services),
            Arc::clone(&stores.tokens),
            gauges,
            self.service_cache.clone(),
            policy,
            Arc::clone(clock),
            config.census_interval,
        )
    }
}

/// Returns how long clients may cache the public keys.
pub(super) fn keys_kept(config: &Config) -> Duration {
    config.services.key_lead.min(Duration::from_mins(5))
}
