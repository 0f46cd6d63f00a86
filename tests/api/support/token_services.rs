//! The parts that services need, wired by hand as a user of the library does it.

use std::{sync::Arc, time::Duration};

use skriptoteket::{
    clock::Clock,
    services::{
        AuthMetrics, BearerAuthenticator, ClientAuthenticator, FailurePolicy, KeyRotator, Limiter,
        Registry, ServiceCache, ServiceSettings, TokenAlgorithm, TokenParts, TokenPolicy, Tokens,
    },
    store::Stores,
    telemetry::Telemetry,
};

use super::ORIGIN;

/// All parts, over the given stores.
pub(crate) struct TokenServices {
    pub(crate) clients: ClientAuthenticator,
    pub(crate) service_cache: ServiceCache,
    pub(crate) registry: Registry,
    pub(crate) tokens: Tokens,
    pub(crate) bearer: BearerAuthenticator,
    pub(crate) limiter: Limiter,
    pub(crate) metrics: AuthMetrics,
}

/// Creates the first signing key.
pub(crate) async fn first_key(
    stores: &Stores,
    service_cache: &ServiceCache,
    clock: Arc<dyn Clock>,
) {
    let settings = Arc::new(settings(FailurePolicy::Closed));
    let key_rotator = KeyRotator::new(
        stores.tokens.clone(),
        service_cache.clone(),
        settings,
        clock,
    );
    assert!(key_rotator.rotate_if_due(true).await.unwrap());
}

fn settings(limit_failure: FailurePolicy) -> ServiceSettings {
    ServiceSettings {
        most: 10,
        audiences: vec![ORIGIN.into()],
        algorithm: TokenAlgorithm::EdDsa,
        token_lifetime: Duration::from_mins(10),
        key_rotation: Duration::from_hours(24),
        key_lead: Duration::from_mins(10),
        credential_lifetime: Duration::from_hours(24 * 90),
        credential_overlap: Duration::from_hours(24),
        rate: "100/s".parse().unwrap(),
        burst: 200,
        daily_quota: None,
        limit_failure,
        degraded_after: Duration::from_mins(2),
        stale_after: Duration::from_mins(10),
    }
}

impl TokenServices {
    pub(crate) fn new(
        stores: &Stores,
        clock: &Arc<dyn Clock>,
        telemetry: &Telemetry,
        on_failure: FailurePolicy,
    ) -> Self {
        let settings = Arc::new(settings(on_failure));
        let metrics = AuthMetrics::new(
            &telemetry.meter(),
            &telemetry.observed_meters(),
            clock.clone(),
        );
        let service_cache = ServiceCache::new(
            stores.services.clone(),
            stores.tokens.clone(),
            metrics.clone(),
            clock.clone(),
        );
        let clients = ClientAuthenticator::new(
            service_cache.clone(),
            stores.services.clone(),
            stores.tokens.clone(),
            metrics.clone(),
            clock.clone(),
            vec![ORIGIN.into(), format!("{ORIGIN}/oauth2/token")],
        );
        let limiter = Limiter::new(
            stores.quotas.clone(),
            settings.limit_failure,
            metrics.clone(),
            clock.clone(),
        );
        let tokens = Tokens::new(TokenParts {
            clients: clients.clone(),
            service_cache: service_cache.clone(),
            tokens: stores.tokens.clone(),
            limiter: limiter.clone(),
            metrics: metrics.clone(),
            clock: clock.clone(),
            policy: TokenPolicy {
                issuer: ORIGIN.into(),
                audiences: settings.audiences.clone(),
                lifetime: settings.token_lifetime,
            },
        });
        let registry = Registry::new(
            stores.services.clone(),
            stores.quotas.clone(),
            service_cache.clone(),
            metrics.clone(),
            settings,
            clock.clone(),
        );
        Self {
            bearer: BearerAuthenticator::new(Arc::new(tokens.clone()), metrics.clone()),
            clients,
            service_cache,
            registry,
            tokens,
            limiter,
            metrics,
        }
    }
}
