//! Registered services: their tokens, limits and signing keys.

use std::sync::Arc;

use skriptoteket::{
    clock::Clock,
    services::{
        AuthMetrics, Registration, ServiceParts, ServiceSettings, ServiceStores, TokenPolicy,
    },
    store::Stores,
    telemetry::Telemetry,
};

/// Wires the parts over these stores, as the server does.
pub fn service_parts(
    stores: &Stores,
    telemetry: &Telemetry,
    clock: &Arc<dyn Clock>,
    settings: &ServiceSettings,
    issuer: &str,
) -> ServiceParts {
    let metrics = AuthMetrics::new(
        &telemetry.meter(),
        &telemetry.observed_meters(),
        Arc::clone(clock),
    );
    let stores = ServiceStores {
        services: Arc::clone(&stores.services),
        tokens: Arc::clone(&stores.tokens),
        quotas: Arc::clone(&stores.quotas),
    };
    let policy = TokenPolicy {
        issuer: issuer.to_owned(),
        audiences: settings.audiences.clone(),
        lifetime: settings.token_lifetime,
    };
    ServiceParts::new(&stores, settings, policy, &metrics, clock)
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
