//! Access tokens: issued, verified, revoked. This is the only module that counts requests to the authorization server.

use std::{fmt, sync::Arc};

use quick_cache::sync::Cache;
use uuid::Uuid;

use super::{
    Allowance, AuthAttempt, AuthFailure, AuthMetrics, AuthOperation, Claims, ClientAuthenticator,
    ClientCredentials, Expected, IssuedToken, Limiter, SKEW, Service, ServiceCache, ServiceId,
    Snapshot, TokenError, TokenPolicy, TokenRejected, TokenRepository, TokenRequest, TokenVerifier,
    VerificationError, client_authenticator::depends_on_snapshot,
    verification::record_verification,
};
use async_trait::async_trait;
use skriptoteket_core::clock::{Clock, Timestamp};

/// Number of tokens whose valid signature is remembered. A token and its claims take about a kilobyte.
const REMEMBERED: usize = 10_000;

/// Issues, introspects and revokes access tokens. Cheap to clone.
#[derive(Clone)]
pub struct Tokens(Arc<Inner>);

struct Inner {
    clients: ClientAuthenticator,
    service_cache: ServiceCache,
    tokens: Arc<dyn TokenRepository>,
    limiter: Limiter,
    metrics: AuthMetrics,
    clock: Arc<dyn Clock>,
    policy: TokenPolicy,
    /// Stored with the generation of the keys that verified it, so that a removed key verifies nothing any more.
    remembered: Cache<Box<str>, (u64, Arc<Claims>)>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tokens").field(&self.0.policy).finish()
    }
}

/// The dependencies of [`Tokens`].
#[derive(Debug)]
pub struct TokenParts {
    /// Authenticates the clients.
    pub clients: ClientAuthenticator,
    /// The services and signing keys.
    pub service_cache: ServiceCache,
    /// The repository of revocations.
    pub tokens: Arc<dyn TokenRepository>,
    /// The rate limiter.
    pub limiter: Limiter,
    /// The metrics.
    pub metrics: AuthMetrics,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The content of issued tokens.
    pub policy: TokenPolicy,
}

impl Tokens {
    /// Creates the token service from its parts.
    #[must_use]
    pub fn new(parts: TokenParts) -> Self {
        Self(Arc::new(Inner {
            clients: parts.clients,
            service_cache: parts.service_cache,
            tokens: parts.tokens,
            limiter: parts.limiter,
            metrics: parts.metrics,
            clock: parts.clock,
            policy: parts.policy,
            remembered: Cache::new(REMEMBERED),
        }))
    }

    /// Returns the policy for the content of tokens.
    #[must_use]
    pub fn policy(&self) -> &TokenPolicy {
        &self.0.policy
    }

    /// Returns the public keys as a JWK Set. It changes rarely, and contains a new key before that key signs.
    ///
    /// # Errors
    ///
    /// As for [`ServiceCache::snapshot`].
    pub async fn jwks(&self) -> Result<Arc<str>, AuthFailure> {
        let snapshot = self.0.service_cache.snapshot().await?;
        Ok(Arc::clone(snapshot.keys().jwks()))
    }

    /// Starts counting an authentication of a client, so that it is counted even if the rest of the request never
    /// arrives.
    pub fn begin(&self, operation: AuthOperation) -> AuthAttempt {
        self.0.metrics.auth_started(operation)
    }

    /// Issues a token to the client with these `credentials`, and charges it one request. If the form could not be
    /// read, `credentials` is an `Err`, which counts as an attempt too.
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub async fn issue(
        &self,
        attempt: AuthAttempt,
        credentials: Result<ClientCredentials, AuthFailure>,
        token_request: &TokenRequest,
    ) -> Result<IssuedToken, TokenError> {
        self.counted(attempt, credentials, async |service| {
            let allowance = self.0.limiter.charge(service).await?.passed()?;
            self.0.make(service, token_request, allowance).await
        })
        .await
    }

    /// Introspects a token: returns its claims while it is valid, otherwise `None` (RFC 7662 returns no reasons). Every
    /// registered service may introspect.
    ///
    /// # Errors
    ///
    /// [`TokenError`]; also if the store does not respond, because the validity is unknown then.
    pub async fn introspect(
        &self,
        attempt: AuthAttempt,
        credentials: Result<ClientCredentials, AuthFailure>,
        token: Option<&str>,
    ) -> Result<Option<Arc<Claims>>, TokenError> {
        self.counted(attempt, credentials, async |_| {
            let token = token.ok_or(TokenError::InvalidRequest("token is missing"))?;
            let verified = self.verify(token).await;
            record_verification(&self.0.metrics, &verified);
            match verified {
                Ok(claims) => Ok(Some(claims)),
                Err(VerificationError {
                    failure: AuthFailure::Store(error),
                    ..
                }) => Err(TokenError::Store(error)),
                Err(VerificationError {
                    failure: AuthFailure::Internal(error),
                    ..
                }) => Err(TokenError::Internal(error)),
                Err(_) => Ok(None),
            }
        })
        .await
    }

    /// Revokes a token of the calling client. Revoking an invalid token is a success (RFC 7009).
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub async fn revoke(
        &self,
        attempt: AuthAttempt,
        credentials: Result<ClientCredentials, AuthFailure>,
        token: Option<&str>,
    ) -> Result<(), TokenError> {
        self.counted(attempt, credentials, async |service| {
            let token = token.ok_or(TokenError::InvalidRequest("token is missing"))?;
            let claims = match self.verify(token).await {
                Ok(claims) => claims,
                Err(VerificationError {
                    failure: AuthFailure::Store(error),
                    ..
                }) => return Err(TokenError::Store(error)),
                Err(VerificationError {
                    failure: AuthFailure::Internal(error),
                    ..
                }) => return Err(TokenError::Internal(error)),
                Err(_) => return Ok(()),
            };
            if claims.service != service.id {
                return Err(TokenError::NotYours);
            }
            // A token is accepted for the clock skew after its expiry.
            let until = claims.expires_at.plus(SKEW);
            let revoked = self.0.tokens.revoke(claims.token, until);
            revoked.await.map_err(TokenError::Store)?;
            self.0.service_cache.note_revoked(claims.token, until);
            Ok(())
        })
        .await
    }

    /// Counts one authentication of a client, including what it requests.
    async fn counted<T>(
        &self,
        mut attempt: AuthAttempt,
        credentials: Result<ClientCredentials, AuthFailure>,
        work: impl AsyncFnOnce(&Service) -> Result<T, TokenError>,
    ) -> Result<T, TokenError> {
        // The time until the client has sent its credentials is not part of our latency.
        attempt.measure_from_now();
        let mut who = None;
        let result = async {
            let service = self.0.clients.authenticate(credentials?, &mut who).await?;
            work(&service).await
        }
        .await;
        let outcome = match &result {
            Ok(_) => Ok(()),
            Err(error) => error.authentication(),
        };
        attempt.finish(who.as_ref().map(ServiceId::as_str), outcome);
        result
    }

    /// Verifies a token. Counts nothing, because only the caller knows the operation.
    pub(super) async fn verify(&self, token: &str) -> Result<Arc<Claims>, VerificationError> {
        let arrival = self.0.service_cache.arrival();
        let snapshot = self.0.service_cache.snapshot().await?;
        let (verified, outdated) = self.0.verify_with(&snapshot, token);
        if !outdated {
            return verified;
        }
        // Another replica may have just registered the service or created the key.
        let newer = self.0.service_cache.snapshot_since(arrival).await?;
        self.0.verify_with(&newer, token).0
    }

    /// As [`Tokens::verify`], if that needs no request to the store.
    pub(super) fn verify_cached(
        &self,
        token: &str,
    ) -> Option<Result<Arc<Claims>, VerificationError>> {
        let snapshot = self.0.service_cache.cached()?;
        let (verified, outdated) = self.0.verify_with(&snapshot, token);
        (!outdated).then_some(verified)
    }

    /// Records that a service was active, by its token.
    pub(super) fn note(&self, claims: &Claims) {
        self.0.clients.note(&claims.service);
    }
}

impl Inner {
    async fn make(
        &self,
        service: &Service,
        token_request: &TokenRequest,
        allowance: Option<Allowance>,
    ) -> Result<IssuedToken, TokenError> {
        token_request.check_grant()?;
        let scopes = token_request.scopes(service)?;
        let audiences = token_request.audiences(&self.policy)?;
        let now = self.clock.now();
        let claims = Claims {
            issuer: self.policy.issuer.clone(),
            service: service.id.clone(),
            audiences,
            issued_at: now,
            expires_at: now.plus(self.policy.lifetime),
            token: Uuid::new_v4(),
            scopes,
            registration: service.registration,
        };
        let snapshot = self.service_cache.snapshot().await.map_err(after_entry)?;
        let token = snapshot.keys().sign(now, &claims)?;
        Ok(IssuedToken {
            token: token.into(),
            lifetime: self.policy.lifetime,
            scopes: claims.scopes,
            allowance,
        })
    }

    /// Verifies a token with this snapshot. The second value is true if a newer snapshot could change the result.
    fn verify_with(
        &self,
        snapshot: &Snapshot,
        token: &str,
    ) -> (Result<Arc<Claims>, VerificationError>, bool) {
        let claims = match self.recall(snapshot, token) {
            Some(claims) => claims,
            None => match self.open(snapshot, token) {
                Ok(claims) => claims,
                Err(rejected) => {
                    let unknown_key = rejected.unknown_key;
                    return (Err(rejected.into()), unknown_key);
                }
            },
        };
        let verified = self.check(snapshot, claims);
        let outdated = matches!(&verified, Err(it) if depends_on_snapshot(&it.failure));
        (verified, outdated)
    }

    /// Returns the claims of a token whose signature was verified with the keys of this snapshot before.
    fn recall(&self, snapshot: &Snapshot, token: &str) -> Option<Arc<Claims>> {
        let (generation, claims) = self.remembered.get(token)?;
        (generation == snapshot.generation()).then_some(claims)
    }

    /// Verifies a token whose signature was not verified before.
    fn open(&self, snapshot: &Snapshot, token: &str) -> Result<Arc<Claims>, TokenRejected> {
        let audiences: Vec<&str> = self.policy.audiences.iter().map(String::as_str).collect();
        let expected = Expected {
            issuer: &self.policy.issuer,
            audiences: &audiences,
        };
        let claims =
            snapshot
                .keys()
                .verification_keys()
                .open(token, self.clock.now(), &expected)?;
        let claims = Arc::new(claims);
        let remembered = (snapshot.generation(), Arc::clone(&claims));
        self.remembered.insert(token.into(), remembered);
        Ok(claims)
    }

    /// Checks what can change after a token was issued: its expiry, its revocation, its service.
    fn check(
        &self,
        snapshot: &Snapshot,
        claims: Arc<Claims>,
    ) -> Result<Arc<Claims>, VerificationError> {
        let failure = match snapshot.service(claims.service.as_str()) {
            // It belongs to an earlier registration of the same id: that service no longer exists.
            Some(service) if service.registration != claims.registration => {
                AuthFailure::UnknownService
            }
            None => {
                return Err(VerificationError {
                    service: None,
                    failure: AuthFailure::UnknownService,
                });
            }
            Some(service) if service.disabled => AuthFailure::Disabled,
            Some(_) if expired(&claims, self.clock.now()) => AuthFailure::ExpiredToken,
            Some(_) if self.service_cache.is_revoked(&claims.token) => AuthFailure::RevokedToken,
            Some(_) => return Ok(claims),
        };
        Err(VerificationError {
            service: Some(claims.service.clone()),
            failure,
        })
    }
}

fn expired(claims: &Claims, now: Timestamp) -> bool {
    claims.expires_at.plus(SKEW) <= now
}

/// Converts a failure after the client was authenticated.
fn after_entry(failure: AuthFailure) -> TokenError {
    match failure {
        AuthFailure::Store(error) => TokenError::Store(error),
        other => TokenError::Internal(other.into()),
    }
}

#[async_trait]
impl TokenVerifier for Tokens {
    fn verify_cached(&self, token: &str) -> Option<Result<Arc<Claims>, VerificationError>> {
        Self::verify_cached(self, token)
    }

    async fn verify(&self, token: &str) -> Result<Arc<Claims>, VerificationError> {
        Self::verify(self, token).await
    }

    fn on_authenticated(&self, claims: &Claims) {
        self.note(claims);
    }
}
