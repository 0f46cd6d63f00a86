//! The other application: its bearer authentication and its metrics.

use std::{sync::Arc, time::Duration};

use skriptoteket::{
    catalogue::CATALOGUE,
    clock::{Clock, ManualClock},
    resource_server::ResourceServer,
    services::{AuthMetrics, BearerAuthenticator, TokenVerifier},
    telemetry::{Telemetry, testing::CollectedMetrics},
};

use crate::resource_server::issuer::{ITSELF, Issuer};

/// The other application.
pub(crate) struct Application {
    pub(crate) bearer: BearerAuthenticator,
    pub(crate) metrics: CollectedMetrics,
    _telemetry: Telemetry,
}

impl Application {
    /// Creates an application with the verifier that `choose` returns. Its timeout is longer than a busy machine needs.
    pub(crate) fn new<V: TokenVerifier + 'static>(
        issuer: &str,
        clock: Arc<dyn Clock>,
        choose: impl FnOnce(ResourceServer) -> V,
    ) -> Self {
        let (telemetry, metrics) = Telemetry::in_memory(CATALOGUE);
        let auth = AuthMetrics::new(&telemetry.meter(), &[], clock.clone());
        let server = ResourceServer::of(issuer, auth.clone())
            .clock(clock)
            .timeout(Duration::from_secs(20));
        Self {
            bearer: BearerAuthenticator::new(Arc::new(choose(server)), auth),
            metrics,
            _telemetry: telemetry,
        }
    }

    /// Creates an application that verifies tokens locally. Its audience is the issuer itself.
    pub(crate) fn locally(issuer: &Issuer, clock: &Arc<ManualClock>) -> Self {
        Self::new(&issuer.url, clock.clone(), |server| {
            server.audience(&issuer.url).verify_locally().unwrap()
        })
    }

    /// Creates an application that introspects tokens at the issuer. Its audience is the issuer itself.
    pub(crate) fn by_introspection(issuer: &Issuer, clock: &Arc<ManualClock>) -> Self {
        Self::new(&issuer.url, clock.clone(), |server| {
            let server = server.audience(&issuer.url);
            let verifier = server.verify_by_introspection(ITSELF, issuer.secret(ITSELF));
            verifier.unwrap()
        })
    }

    /// Returns the service that this token identifies, or the reason for the rejection.
    pub(crate) async fn identify(&self, token: &str) -> Result<String, &'static str> {
        let claims = self.bearer.identify(Ok(token)).await;
        let claims = claims.as_ref();
        claims
            .map(|it| it.service.to_string())
            .map_err(|failure| failure.reason().as_str())
    }

    /// Returns the number of successful authentications of a service.
    pub(crate) fn successes(&self, service: &str) -> Option<u64> {
        let labels = [("service_id", service)];
        let name = "skriptoteket.successful_auths";
        self.metrics.counter(name, &labels)
    }

    /// Returns how many authentications failed for this reason, and how many tokens were checked with that result.
    pub(crate) fn failures(&self, service: &str, reason: &str) -> (Option<u64>, Option<u64>) {
        let count = |name, key| {
            let labels = [("service_id", service), (key, reason)];
            self.metrics.counter(name, &labels)
        };
        (
            count("skriptoteket.failed_auths", "reason"),
            count("skriptoteket.token_verifications", "status"),
        )
    }
}
