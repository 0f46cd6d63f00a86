//! An issuer: the service itself in this process, and its operators, who change its store.

use std::{sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use skriptoteket::{
    catalogue::CATALOGUE,
    clock::Clock,
    services::{KeyRotator, Registry, ServiceChange, ServiceId},
    store,
    telemetry::{Telemetry, testing::CollectedMetrics},
};
use skriptoteket_testing::{
    application::{RunningApplication, config_in},
    http::plain,
    parts::{registration, service_parts},
};
use tempfile::TempDir;

/// The registered services.
pub(crate) const SERVICES: [&str; 2] = ["orders", "stock"];

/// The service that stands for the other application, for introspection.
pub(crate) const ITSELF: &str = "warehouse";

/// The lifetime of a token: longer than keys are used without a response of the issuer.
pub(crate) const LIFETIME: Duration = Duration::from_hours(24);

/// A running issuer.
pub(crate) struct Issuer {
    /// `http://…`, the issuer identifier.
    pub(crate) url: String,
    /// `http://…` of the management listener.
    pub(crate) management: String,
    /// The issuer's metrics.
    pub(crate) metrics: CollectedMetrics,
    registry: Registry,
    key_rotator: KeyRotator,
    secrets: Vec<(String, SecretString)>,
    running: RunningApplication,
    _dir: TempDir,
}

impl Issuer {
    /// Starts an issuer with [`SERVICES`] and [`ITSELF`] that uses `clock`.
    pub(crate) async fn start(clock: Arc<dyn Clock>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config_in(dir.path(), &[]);
        config.services.token_lifetime = LIFETIME;
        // As an operator's command in another process opens it.
        let stores = store::open(&config.store(), clock.clone(), None)
            .await
            .unwrap();
        let (aside, _) = Telemetry::in_memory(CATALOGUE);
        // The operator's commands need no issuer.
        let parts = service_parts(&stores, &aside, &clock, &config.services, "");
        let mut secrets = Vec::new();
        for id in SERVICES.into_iter().chain([ITSELF]) {
            let issued = parts.registry.register(registration(id, &[])).await;
            let issued = issued.unwrap();
            secrets.push((id.to_owned(), issued.secret));
        }
        let running = RunningApplication::start(&config, clock).await;
        Self {
            url: running.public.clone(),
            management: running.management.clone(),
            metrics: running.metrics.clone(),
            registry: parts.registry,
            key_rotator: parts.key_rotator,
            secrets,
            running,
            _dir: dir,
        }
    }

    /// Returns the client secret of a service.
    pub(crate) fn secret(&self, service: &str) -> SecretString {
        let found = self.secrets.iter().find(|(id, _)| id == service);
        found.unwrap().1.clone()
    }

    /// Sends a request to the issuer as this service.
    async fn post(&self, service: &str, path: &str, body: String) -> reqwest::Response {
        let secret = self.secret(service);
        plain()
            .post(format!("{}{path}", self.url))
            .basic_auth(service, Some(secret.expose_secret()))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await
            .unwrap()
    }

    /// Returns a new token of this service.
    pub(crate) async fn token(&self, service: &str) -> String {
        let form = "grant_type=client_credentials".to_owned();
        let answer = self.post(service, "/oauth2/token", form).await;
        assert_eq!(answer.status(), 200);
        let answer: Value = answer.json().await.unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// Revokes a token as the service that owns it.
    pub(crate) async fn revoke(&self, service: &str, token: &str) {
        let form = format!("token={token}");
        let answer = self.post(service, "/oauth2/revoke", form).await;
        assert_eq!(answer.status(), 200);
    }

    /// Disables a service, as an operator.
    pub(crate) async fn disable(&self, service: &str) {
        let id: ServiceId = service.parse().unwrap();
        let change = ServiceChange {
            disabled: Some(true),
            ..ServiceChange::default()
        };
        self.registry.change(&id, change).await.unwrap();
    }

    /// Rotates the signing key as soon as possible, as an operator.
    pub(crate) async fn rotate(&self) {
        assert!(self.key_rotator.rotate(true).await.unwrap());
    }

    /// Returns how many requests to this route had a response with status 200.
    pub(crate) fn answered(&self, method: &str, route: &str) -> u64 {
        let labels = [
            ("http.request.method", method),
            ("http.response.status_code", "200"),
            ("http.route", route),
            ("url.scheme", "http"),
        ];
        let name = "http.server.request.duration";
        self.metrics.histogram_count(name, &labels).unwrap_or(0)
    }

    /// Returns how often the keys were fetched.
    pub(crate) fn fetches(&self) -> u64 {
        self.answered("GET", "/.well-known/jwks.json")
    }

    /// Returns how often a token was introspected.
    pub(crate) fn introspections(&self) -> u64 {
        self.answered("POST", "/oauth2/introspect")
    }

    /// Stops the issuer; returns when its listeners are closed.
    pub(crate) async fn stop(&mut self) {
        self.running.stop().await;
    }
}
