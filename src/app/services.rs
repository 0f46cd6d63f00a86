//! Wires what services need: registration, tokens and rate limits.

use std::{sync::Arc, time::Duration};

use url::Url;

use crate::{
    audit::{AdminAudit, Kind, SUCCESS},
    clock::Clock,
    config::Config,
    observer_state::ObserverState,
    services::{
        AuthMetrics, BearerAuthenticator, ClientAuthenticator, HealthPolicy, KeyRotationError,
        KeyRotator, Limiter, Registry, ServiceCache, ServiceCensus, ServiceGauges, TokenParts,
        TokenPolicy, Tokens,
    },
    store::Stores,
    telemetry::Meter,
};

/// All parts that handle services.
#[derive(Debug)]
pub(super) struct Services {
    pub(super) clients: ClientAuthenticator,
    pub(super) service_cache: ServiceCache,
    pub(super) registry: Registry,
    pub(super) tokens: Tokens,
    pub(super) bearer: BearerAuthenticator,
    pub(super) limiter: Limiter,
    key_rotator: KeyRotator,
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
    let settings = Arc::new(config.services.clone());
    let service_cache = ServiceCache::new(
        Arc::clone(&stores.services),
        Arc::clone(&stores.tokens),
        metrics.clone(),
        Arc::clone(clock),
    );
    let policy = token_policy(config, public_url);
    let issuer = &policy.issuer;
    let clients = ClientAuthenticator::new(
        service_cache.clone(),
        Arc::clone(&stores.services),
        Arc::clone(&stores.tokens),
        metrics.clone(),
        Arc::clone(clock),
        // The audiences that a client may use in its assertion (RFC 7523, section 3, leaves the choice to the server).
        ["", "/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"]
            .map(|path| format!("{issuer}{path}"))
            .to_vec(),
    );
    let limiter = Limiter::new(
        Arc::clone(&stores.quotas),
        settings.limit_failure,
        metrics.clone(),
        Arc::clone(clock),
    );
    let tokens = Tokens::new(TokenParts {
        clients: clients.clone(),
        service_cache: service_cache.clone(),
        tokens: Arc::clone(&stores.tokens),
        limiter: limiter.clone(),
        metrics: metrics.clone(),
        clock: Arc::clone(clock),
        policy,
    });
    let registry = Registry::new(
        Arc::clone(&stores.services),
        Arc::clone(&stores.quotas),
        service_cache.clone(),
        metrics.clone(),
        Arc::clone(&settings),
        Arc::clone(clock),
    );
    let key_rotator = KeyRotator::new(
        Arc::clone(&stores.tokens),
        service_cache.clone(),
        settings,
        Arc::clone(clock),
    );
    Services {
        bearer: BearerAuthenticator::new(Arc::new(tokens.clone()), metrics.clone()),
        clients,
        service_cache,
        registry,
        tokens,
        limiter,
        key_rotator,
    }
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
