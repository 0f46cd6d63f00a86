//! Wires what services need: their cache, registration, tokens and rate limits.

use std::sync::Arc;

use skriptoteket_core::clock::Clock;

use super::{
    AuthMetrics, BearerAuthenticator, ClientAuthenticator, KeyRotator, Limiter,
    RateLimitRepository, Registry, ServiceCache, ServiceRepository, ServiceSettings, TokenParts,
    TokenPolicy, TokenRepository, Tokens,
};

/// The stores behind services.
#[derive(Clone, Debug)]
pub struct ServiceStores {
    /// The register.
    pub services: Arc<dyn ServiceRepository>,
    /// Token data: signing keys, revocations, used assertions.
    pub tokens: Arc<dyn TokenRepository>,
    /// The rate limits.
    pub quotas: Arc<dyn RateLimitRepository>,
}

/// All parts that handle services.
#[derive(Debug)]
pub struct ServiceParts {
    /// The metrics of authentications.
    pub metrics: AuthMetrics,
    /// The register as this replica knows it.
    pub service_cache: ServiceCache,
    /// Authenticates clients.
    pub clients: ClientAuthenticator,
    /// Rates and quotas.
    pub limiter: Limiter,
    /// Issues, revokes and introspects tokens.
    pub tokens: Tokens,
    /// Authenticates requests with a token.
    pub bearer: BearerAuthenticator,
    /// Registers and changes services.
    pub registry: Registry,
    /// Creates signing keys.
    pub key_rotator: KeyRotator,
}

impl ServiceParts {
    /// Wires the parts over these stores. Reads nothing yet.
    #[must_use]
    pub fn new(
        stores: &ServiceStores,
        settings: &ServiceSettings,
        policy: TokenPolicy,
        metrics: &AuthMetrics,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        let settings = Arc::new(settings.clone());
        let service_cache = ServiceCache::new(
            Arc::clone(&stores.services),
            Arc::clone(&stores.tokens),
            metrics.clone(),
            Arc::clone(clock),
        );
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
        Self {
            metrics: metrics.clone(),
            bearer: BearerAuthenticator::new(Arc::new(tokens.clone()), metrics.clone()),
            service_cache,
            clients,
            limiter,
            tokens,
            registry,
            key_rotator,
        }
    }
}
