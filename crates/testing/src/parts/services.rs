//! Registered services: their tokens, limits and signing keys.

use std::sync::Arc;

use skriptoteket::{
    clock::Clock,
    services::{
        AuthMetrics, BearerAuthenticator, ClientAuthenticator, KeyRotator, Limiter, Registration,
        Registry, ServiceCache, ServiceSettings, TokenParts, TokenPolicy, Tokens,
    },
    store::Stores,
    telemetry::Telemetry,
};

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
    /// Wires the parts over these stores.
    pub fn new(
        stores: &Stores,
        telemetry: &Telemetry,
        clock: &Arc<dyn Clock>,
        settings: &ServiceSettings,
        issuer: &str,
    ) -> Self {
        let metrics = AuthMetrics::new(
            &telemetry.meter(),
            &telemetry.observed_meters(),
            Arc::clone(clock),
        );
        let settings = Arc::new(settings.clone());
        let service_cache = ServiceCache::new(
            Arc::clone(&stores.services),
            Arc::clone(&stores.tokens),
            metrics.clone(),
            Arc::clone(clock),
        );
        let clients = ClientAuthenticator::new(
            service_cache.clone(),
            Arc::clone(&stores.services),
            Arc::clone(&stores.tokens),
            metrics.clone(),
            Arc::clone(clock),
            vec![issuer.to_owned(), format!("{issuer}/oauth2/token")],
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
            policy: TokenPolicy {
                issuer: issuer.to_owned(),
                audiences: settings.audiences.clone(),
                lifetime: settings.token_lifetime,
            },
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
            bearer: BearerAuthenticator::new(Arc::new(tokens.clone()), metrics.clone()),
            metrics,
            service_cache,
            clients,
            limiter,
            tokens,
            registry,
            key_rotator,
        }
    }
}

/// Returns the registration of a service with these scopes, and with the configured limits.
pub fn registration(id: &str, scopes: &[&str]) -> Registration {
    Registration {
        id: id.parse().unwrap(),
        description: String::new(),
        scopes: scopes.iter().map(|it| it.parse().unwrap()).collect(),
        limits: None,
        public_keys: None,
    }
}
