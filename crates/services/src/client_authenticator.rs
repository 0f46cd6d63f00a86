//! Authenticates services, with a client secret or with an assertion that they sign.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use tokio::{runtime::Handle, sync::Mutex, task::AbortHandle};

use super::{
    Assertion, AuthFailure, AuthMetrics, ExpectedAssertion, PublicKeys, SecretDigest, Service,
    ServiceCache, ServiceId, ServiceRepository, SignOfLife, Snapshot, TokenRepository,
    claimed_client,
};
use skriptoteket_core::clock::Clock;

/// The credentials of a client. If they are malformed, an [`AuthFailure`] takes their place, so that it is counted like
/// all other failures.
#[derive(Debug)]
pub enum ClientCredentials {
    /// An id and a secret.
    Secret {
        /// The id as sent.
        client: String,
        /// The secret as sent.
        secret: SecretString,
    },
    /// A signed assertion (RFC 7523).
    Assertion {
        /// The id sent with the assertion, if any.
        client: Option<String>,
        /// The assertion.
        assertion: SecretString,
    },
}

/// Minimum time between two records of a service's authentication.
const NOTED_EVERY: Duration = Duration::from_secs(10);

/// Authenticates clients. Cheap to clone.
#[derive(Clone)]
pub struct ClientAuthenticator(Arc<Inner>);

struct Inner {
    service_cache: ServiceCache,
    services: Arc<dyn ServiceRepository>,
    tokens: Arc<dyn TokenRepository>,
    metrics: AuthMetrics,
    clock: Arc<dyn Clock>,
    /// The audiences that an assertion may name.
    audiences: Vec<String>,
    /// When each service was last recorded. Grows to the largest number of registered services.
    noted: Mutex<HashMap<ServiceId, Noted>>,
}

impl fmt::Debug for ClientAuthenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientAuthenticator")
    }
}

impl ClientAuthenticator {
    /// Creates an authenticator of the clients in `service_cache`; assertions must be for one of `audiences`.
    #[must_use]
    pub fn new(
        service_cache: ServiceCache,
        services: Arc<dyn ServiceRepository>,
        tokens: Arc<dyn TokenRepository>,
        metrics: AuthMetrics,
        clock: Arc<dyn Clock>,
        audiences: Vec<String>,
    ) -> Self {
        Self(Arc::new(Inner {
            service_cache,
            services,
            tokens,
            metrics,
            clock,
            audiences,
            noted: Mutex::default(),
        }))
    }

    /// Returns the service that the client authenticates as. `who` is set to the service that the client names, whether
    /// the authentication succeeds or not, unless that service is known not to exist.
    pub(super) async fn authenticate(
        &self,
        credentials: ClientCredentials,
        who: &mut Option<ServiceId>,
    ) -> Result<Arc<Service>, AuthFailure> {
        let (client, proof) = match credentials {
            ClientCredentials::Secret { client, secret } => (client, Proof::Secret(secret)),
            ClientCredentials::Assertion { client, assertion } => {
                let named = claimed_client(assertion.expose_secret())
                    .ok_or(AuthFailure::Malformed("the assertion names no client"))?;
                if client.is_some_and(|client| client != named.as_str()) {
                    return Err(AuthFailure::Malformed(
                        "client_id and the assertion name different clients",
                    ));
                }
                (named.to_string(), Proof::Assertion(assertion))
            }
        };
        // If the store does not respond, the failure is counted for the named service. Whether it is registered cannot
        // be checked then.
        *who = client.parse().ok();
        let arrival = self.0.service_cache.arrival();
        let snapshot = self.0.service_cache.snapshot().await?;
        let mut found = self.proven(&snapshot, &client, &proof);
        if found.as_ref().is_err_and(depends_on_snapshot) {
            // Another replica may have just registered the service or rotated its secret.
            let newer = self.0.service_cache.snapshot_since(arrival).await?;
            if !Arc::ptr_eq(&snapshot, &newer) {
                found = self.proven(&newer, &client, &proof);
            }
        }
        if matches!(found, Err(AuthFailure::UnknownService)) {
            *who = None;
        }
        let (service, proven) = found?;
        match proven {
            Proven::Secret => {}
            Proven::RetiredSecret => {
                let id = service.id.as_str();
                self.0.metrics.retired_credential_used(id);
            }
            Proven::Assertion(assertion) => {
                let tokens = &self.0.tokens;
                let first = tokens.use_assertion(assertion.digest, assertion.expires_at);
                if !first.await? {
                    return Err(AuthFailure::RevokedToken);
                }
            }
        }
        self.note(&service.id);
        Ok(service)
    }

    /// Returns the service of this snapshot that `proof` authenticates. Changes nothing.
    fn proven(
        &self,
        snapshot: &Snapshot,
        client: &str,
        proof: &Proof,
    ) -> Result<(Arc<Service>, Proven), AuthFailure> {
        let service = snapshot
            .service(client)
            .ok_or(AuthFailure::UnknownService)?;
        let proven = match proof {
            Proof::Secret(secret) => self.check_secret(service, secret)?,
            Proof::Assertion(assertion) => self.check_assertion(service, assertion)?,
        };
        // Checked last: only the service itself can see that it is disabled.
        if service.disabled {
            return Err(AuthFailure::Disabled);
        }
        Ok((Arc::clone(service), proven))
    }

    fn check_secret(
        &self,
        service: &Service,
        secret: &SecretString,
    ) -> Result<Proven, AuthFailure> {
        let digest = SecretDigest::of(secret.expose_secret());
        // All of them are compared, whichever matches.
        let mut found = None;
        for credential in &service.credentials {
            if credential.digest.matches(&digest) {
                found = Some(credential);
            }
        }
        let credential = found.ok_or(AuthFailure::BadSecret)?;
        if credential.is_expired(self.0.clock.now()) {
            return Err(AuthFailure::ExpiredCredential);
        }
        Ok(match credential.retired_at {
            Some(_) => Proven::RetiredSecret,
            None => Proven::Secret,
        })
    }

    fn check_assertion(
        &self,
        service: &Service,
        assertion: &SecretString,
    ) -> Result<Proven, AuthFailure> {
        let keys = service.public_keys.as_deref();
        let keys = keys.ok_or(AuthFailure::BadSignature)?;
        let keys = PublicKeys::parse(keys).map_err(|error| AuthFailure::Internal(error.into()))?;
        let audiences: Vec<&str> = self.0.audiences.iter().map(String::as_str).collect();
        let expected = ExpectedAssertion {
            client: &service.id,
            audiences: &audiences,
        };
        let now = self.0.clock.now();
        let assertion = keys.open(assertion.expose_secret(), now, &expected)?;
        Ok(Proven::Assertion(assertion))
    }

    /// Records a heartbeat of a service.
    ///
    /// # Errors
    ///
    /// [`AuthFailure::UnknownService`] if the service no longer exists; [`AuthFailure::Store`].
    pub async fn heartbeat(&self, id: &ServiceId) -> Result<(), AuthFailure> {
        let known = self.0.services.seen(id, SignOfLife::Heartbeat).await?;
        known.then_some(()).ok_or(AuthFailure::UnknownService)
    }

    /// Records an authentication of a service in the background, so that no request waits for the store. Failures are
    /// ignored: the health of the service shows what is known.
    pub(super) fn note(&self, id: &ServiceId) {
        let now = self.0.clock.monotonic();
        // Another thread is recording right now: the next call will do.
        let Ok(mut noted) = self.0.noted.try_lock() else {
            return;
        };
        if noted.get(id).is_some_and(|it| it.is_enough(now)) {
            return;
        }
        // Verifying a token must not require a runtime.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let (services, service) = (Arc::clone(&self.0.services), id.clone());
        let writing = runtime.spawn(async move {
            let seen = services.seen(&service, SignOfLife::Authentication);
            if let Err(error) = seen.await {
                tracing::debug!(%error, "could not record the activity of a service");
            }
        });
        let writing = writing.abort_handle();
        noted.insert(id.clone(), Noted { at: now, writing });
    }
}

/// A recorded authentication of a service.
struct Noted {
    /// When, in monotonic time.
    at: Duration,
    /// While a slow store is still writing, no further write is started.
    writing: AbortHandle,
}

impl Noted {
    /// Returns whether no new record is needed at `now`.
    fn is_enough(&self, now: Duration) -> bool {
        now.saturating_sub(self.at) < NOTED_EVERY || !self.writing.is_finished()
    }
}

enum Proof {
    Secret(SecretString),
    Assertion(SecretString),
}

/// How a service was authenticated.
enum Proven {
    Secret,
    /// A secret that a rotation has replaced.
    RetiredSecret,
    /// An assertion, which still has to be checked for reuse.
    Assertion(Assertion),
}

/// Returns whether a more recent snapshot could change the result.
pub(super) const fn depends_on_snapshot(failure: &AuthFailure) -> bool {
    matches!(
        failure,
        AuthFailure::UnknownService
            | AuthFailure::BadSecret
            | AuthFailure::BadSignature
            | AuthFailure::Disabled
    )
}
