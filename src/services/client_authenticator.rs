//! How services prove who they are to us: with a client secret, or with an assertion that they sign.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use tokio::{runtime::Handle, sync::Mutex, task::AbortHandle};

use super::{
    Assertion, AuthFailure, AuthMetrics, ExpectedAssertion, PublicKeys, SecretDigest, Service,
    ServiceCache, ServiceId, ServiceRepository, SignOfLife, Snapshot, TokenRepository,
    claimed_client,
};
use crate::clock::Clock;

/// What a client shows of itself. What is not in a right form is an [`AuthFailure`] in its place, so that it is counted
/// where all others are.
#[derive(Debug)]
pub enum ClientCredentials {
    /// An id and a secret.
    Secret {
        /// The id as it was sent.
        client: String,
        /// The secret as it was sent.
        secret: SecretString,
    },
    /// A signed assertion (RFC 7523).
    Assertion {
        /// The id that was sent beside it, if one was.
        client: Option<String>,
        /// The assertion.
        assertion: SecretString,
    },
}

/// How often it is noted that a service has authenticated.
const NOTED_EVERY: Duration = Duration::from_secs(10);

/// Finds out who a client is. Cheap to clone.
#[derive(Clone)]
pub struct ClientAuthenticator(Arc<Inner>);

struct Inner {
    service_cache: ServiceCache,
    services: Arc<dyn ServiceRepository>,
    tokens: Arc<dyn TokenRepository>,
    metrics: AuthMetrics,
    clock: Arc<dyn Clock>,
    /// Whom an assertion may name as the one it is for.
    audiences: Vec<String>,
    /// When each service was last noted. As large as the register was at most.
    noted: Mutex<HashMap<ServiceId, Noted>>,
}

impl fmt::Debug for ClientAuthenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientAuthenticator")
    }
}

impl ClientAuthenticator {
    /// Authenticates the clients that `service_cache` knows; assertions must be for one of `audiences`.
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

    /// The service that this client is. `who` is told whom the client names, whether it proves to be that or not, unless that
    /// is known to be no service.
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
        // A store that does not answer fails a service that is known; only where it is has to be looked up.
        *who = client.parse().ok();
        let snapshot = self.0.service_cache.snapshot().await?;
        let mut found = self.proven(&snapshot, &client, &proof);
        if found.as_ref().is_err_and(depends_on_snapshot) {
            // Another replica may have just registered the service, or given it the secret that it came with.
            let late = self.0.service_cache.recent_snapshot().await?;
            if !Arc::ptr_eq(&snapshot, &late) {
                found = self.proven(&late, &client, &proof);
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

    /// The service of this snapshot that `proof` is of. Changes nothing.
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
        // Last: that a service is disabled is told to nobody but itself.
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
        // All of them are looked at, whichever fits.
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

    /// Notes that a service says it is well.
    ///
    /// # Errors
    ///
    /// [`AuthFailure::UnknownService`] if there is no such service any more; [`AuthFailure::Store`].
    pub async fn heartbeat(&self, id: &ServiceId) -> Result<(), AuthFailure> {
        let known = self.0.services.seen(id, SignOfLife::Heartbeat).await?;
        known.then_some(()).ok_or(AuthFailure::UnknownService)
    }

    /// Notes that a service has authenticated, in the background: nobody waits for the store. What fails there fails silently,
    /// because the health of a service says what is known.
    pub(super) fn note(&self, id: &ServiceId) {
        let now = self.0.clock.monotonic();
        // Somebody else is just noting something: the next one will do.
        let Ok(mut noted) = self.0.noted.try_lock() else {
            return;
        };
        if noted.get(id).is_some_and(|it| it.is_enough(now)) {
            return;
        }
        // Whoever looks at a token needs no runtime for it.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let (services, service) = (Arc::clone(&self.0.services), id.clone());
        let writing = runtime.spawn(async move {
            let seen = services.seen(&service, SignOfLife::Authentication);
            if let Err(error) = seen.await {
                tracing::debug!(%error, "a sign of life was not noted");
            }
        });
        let writing = writing.abort_handle();
        noted.insert(id.clone(), Noted { at: now, writing });
    }
}

/// That an authentication of a service was noted.
struct Noted {
    /// When, in monotonic time.
    at: Duration,
    /// A store that is slow is asked again only when it is done.
    writing: AbortHandle,
}

impl Noted {
    /// Whether it need not be noted again at `now`.
    fn is_enough(&self, now: Duration) -> bool {
        now.saturating_sub(self.at) < NOTED_EVERY || !self.writing.is_finished()
    }
}

enum Proof {
    Secret(SecretString),
    Assertion(SecretString),
}

/// By what a service was found to be who it says it is.
enum Proven {
    Secret,
    /// One that a rotation has replaced.
    RetiredSecret,
    /// It still has to be the first of its kind.
    Assertion(Assertion),
}

/// Whether a younger snapshot could be of another mind.
pub(super) const fn depends_on_snapshot(failure: &AuthFailure) -> bool {
    matches!(
        failure,
        AuthFailure::UnknownService
            | AuthFailure::BadSecret
            | AuthFailure::BadSignature
            | AuthFailure::Disabled
    )
}
