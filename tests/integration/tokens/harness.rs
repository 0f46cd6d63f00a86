//! Replicas on one file, with a clock that the tests set.

use std::{path::PathBuf, sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use skriptoteket::{
    catalogue::CATALOGUE,
    clock::{Clock, ManualClock, Timestamp},
    config::{self, Environment},
    services::{
        AuthFailure, AuthOperation, BearerAuthenticator, Claims, ClientAuthenticator,
        ClientCredentials, FailurePolicy, Issued, IssuedToken, KeyRotator, Registration, Registry,
        ServiceCache, ServiceId, ServiceRepository, ServiceSettings, TokenError, TokenRequest,
        Tokens,
    },
    store::Stores,
    telemetry::{Telemetry, testing::CollectedMetrics},
};
use skriptoteket_testing::{
    parts::{registration, service_parts},
    stores::open_file,
};
use tempfile::TempDir;
use tokio::sync::OnceCell;

pub(crate) const ISSUER: &str = "https://login.example.org";

/// One file, and the clock that all its replicas share.
pub(crate) struct Harness {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) settings: ServiceSettings,
    dir: TempDir,
    first: OnceCell<()>,
}

/// The service components of one process.
pub(crate) struct Replica {
    pub(crate) service_cache: ServiceCache,
    pub(crate) registry: Registry,
    pub(crate) tokens: Tokens,
    pub(crate) bearer: BearerAuthenticator,
    pub(crate) key_rotator: KeyRotator,
    pub(crate) clients: ClientAuthenticator,
    pub(crate) metrics: CollectedMetrics,
    pub(crate) telemetry: Telemetry,
    pub(crate) stores: Stores,
}

impl Harness {
    pub(crate) fn new() -> Self {
        let settings = config::load(None, &Environment::default())
            .unwrap()
            .services;
        Self {
            clock: Arc::new(ManualClock::default()),
            settings: ServiceSettings {
                audiences: vec![ISSUER.into(), "https://api.example.org".into()],
                limit_failure: FailurePolicy::Closed,
                ..settings
            },
            dir: TempDir::new().unwrap(),
            first: OnceCell::new(),
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("skriptoteket.db")
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock) as Arc<dyn Clock>
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    pub(crate) async fn stores(&self) -> Stores {
        open_file(&self.path(), self.clock()).await
    }

    /// Creates a replica; the first one creates the signing key.
    pub(crate) async fn replica(&self) -> Replica {
        let stores = self.stores().await;
        let services = Arc::clone(&stores.services);
        let replica = self.replica_on(stores, services);
        let make = self.first.get_or_init(async || {
            assert!(replica.key_rotator.rotate_if_due(true).await.unwrap());
        });
        make.await;
        replica
    }

    /// Creates a replica that reads the register through `services`.
    pub(crate) fn replica_on(
        &self,
        stores: Stores,
        services: Arc<dyn ServiceRepository>,
    ) -> Replica {
        let (telemetry, metrics) = Telemetry::in_memory(CATALOGUE);
        let mut read = stores.clone();
        read.services = services;
        let clock = self.clock();
        let parts = service_parts(&read, &telemetry, &clock, &self.settings, ISSUER);
        Replica {
            service_cache: parts.service_cache,
            registry: parts.registry,
            tokens: parts.tokens,
            bearer: parts.bearer,
            key_rotator: parts.key_rotator,
            clients: parts.clients,
            metrics,
            telemetry,
            stores,
        }
    }
}

/// Returns the registration that `skriptoteket service register ID` creates.
pub(crate) fn named(id: &str) -> Registration {
    registration(id, &["read", "write"])
}

pub(crate) fn grant() -> TokenRequest {
    TokenRequest {
        grant_type: Some("client_credentials".into()),
        ..TokenRequest::default()
    }
}

pub(crate) fn with_secret(issued: &Issued) -> ClientCredentials {
    ClientCredentials::Secret {
        client: issued.service.id.to_string(),
        secret: issued.secret.clone(),
    }
}

impl Replica {
    pub(crate) async fn register(&self, id: &str) -> Issued {
        self.registry.register(named(id)).await.unwrap()
    }

    pub(crate) async fn token(&self, issued: &Issued) -> Result<SecretString, TokenError> {
        let token = self.issue(with_secret(issued), &grant()).await;
        token.map(|it| it.token)
    }

    pub(crate) async fn issue(
        &self,
        credentials: ClientCredentials,
        token_request: &TokenRequest,
    ) -> Result<IssuedToken, TokenError> {
        let attempt = self.tokens.begin(AuthOperation::TokenIssue);
        self.tokens
            .issue(attempt, Ok(credentials), token_request)
            .await
    }

    pub(crate) async fn revoke(
        &self,
        credentials: ClientCredentials,
        token: &SecretString,
    ) -> Result<(), TokenError> {
        let attempt = self.tokens.begin(AuthOperation::Revocation);
        let token = Some(token.expose_secret());
        self.tokens.revoke(attempt, Ok(credentials), token).await
    }

    /// Authenticates a request with this token: returns its claims or the reason for the failure.
    pub(crate) async fn comes_with(
        &self,
        token: &SecretString,
    ) -> Result<Arc<Claims>, &'static str> {
        let came = self.bearer.identify(Ok(token.expose_secret())).await;
        came.map_err(|failure: AuthFailure| failure.reason().as_str())
    }

    /// Waits until `at` is recorded as the last authentication of a service, which happens in the background.
    pub(crate) async fn noted(&self, id: &ServiceId, at: Option<Timestamp>) {
        let mut noted = None;
        for _ in 0..12_000 {
            noted = self.registry.find(id).await.unwrap().last_authentication;
            if noted == at {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(noted, at);
    }

    pub(crate) fn failed(&self, service: &str, reason: &str) -> u64 {
        let labels = [("service_id", service), ("reason", reason)];
        self.metrics
            .counter("skriptoteket.failed_auths", &labels)
            .unwrap()
    }

    pub(crate) fn succeeded(&self, service: &str) -> u64 {
        let labels = [("service_id", service)];
        self.metrics
            .counter("skriptoteket.successful_auths", &labels)
            .unwrap()
    }
}

/// Returns the reason for which a client is rejected.
pub(crate) fn reason<T>(result: &Result<T, TokenError>) -> Option<&'static str> {
    match result {
        Err(TokenError::Client(failure)) => Some(failure.reason().as_str()),
        _ => None,
    }
}
