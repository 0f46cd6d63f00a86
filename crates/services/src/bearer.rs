//! Authenticates requests that carry an access token. This is the only module that counts them.

use std::sync::Arc;

use super::{
    AuthAttempt, AuthFailure, AuthMetrics, AuthOperation, Claims, ServiceId, TokenVerifier,
    VerificationError, verification::record_verification,
};

/// Authenticates requests by their access token and counts each. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BearerAuthenticator {
    verifier: Arc<dyn TokenVerifier>,
    metrics: AuthMetrics,
}

impl BearerAuthenticator {
    /// Creates an authenticator that accepts the tokens that `verifier` accepts.
    #[must_use]
    pub fn new(verifier: Arc<dyn TokenVerifier>, metrics: AuthMetrics) -> Self {
        Self { verifier, metrics }
    }

    /// Authenticates a request by its token. An `Err` in place of the token means that none could be read, which counts
    /// too.
    /// # Errors
    ///
    /// [`AuthFailure`].
    pub async fn identify(
        &self,
        token: Result<&str, AuthFailure>,
    ) -> Result<Arc<Claims>, AuthFailure> {
        let token = match token {
            Ok(token) => token,
            Err(failure) => return self.counting().count(Err(failure.into())),
        };
        match self.begin(token) {
            Verification::Completed(answer) => answer,
            Verification::Pending(pending) => pending.answer(token).await,
        }
    }

    /// As [`BearerAuthenticator::identify`], up to the point where it would have to wait. For callers that want to
    /// avoid the cost of a future that is nearly always ready at once.
    pub fn begin(&self, token: &str) -> Verification {
        self.counting().begin(token)
    }

    /// As [`BearerAuthenticator::begin`], for a request that is counted already.
    pub fn begin_again(&self, token: &str) -> Verification {
        self.pending(None).begin(token)
    }

    /// Counts a request without a readable token.
    pub fn refuse(&self, malformed: &'static str) {
        let failure = AuthFailure::Malformed(malformed);
        // The result is the failure itself.
        let _ = self.counting().count(Err(failure.into()));
    }

    fn counting(&self) -> Pending {
        self.pending(Some(
            self.metrics.auth_started(AuthOperation::TokenVerification),
        ))
    }

    fn pending(&self, attempt: Option<AuthAttempt>) -> Pending {
        Pending {
            authenticator: self.clone(),
            attempt,
        }
    }
}

/// The state of a verification.
#[derive(Debug)]
#[must_use = "a pending verification that is dropped counts as cancelled"]
pub enum Verification {
    /// The verification is complete.
    Completed(Result<Arc<Claims>, AuthFailure>),
    /// The result is not in memory: call [`Pending::answer`].
    Pending(Pending),
}

/// A verification that needs a request to the store or the issuer. If dropped, it counts as cancelled.
#[derive(Debug)]
pub struct Pending {
    authenticator: BearerAuthenticator,
    /// `None` if the request is counted elsewhere.
    attempt: Option<AuthAttempt>,
}

impl Pending {
    /// Completes the verification of the same token.
    ///
    /// # Errors
    ///
    /// [`AuthFailure`].
    pub async fn answer(self, token: &str) -> Result<Arc<Claims>, AuthFailure> {
        let answer = self.authenticator.verifier.verify(token).await;
        self.count(answer)
    }

    fn begin(self, token: &str) -> Verification {
        match self.authenticator.verifier.verify_cached(token) {
            Some(verified) => Verification::Completed(self.count(verified)),
            None => Verification::Pending(self),
        }
    }

    fn count(
        self,
        verified: Result<Arc<Claims>, VerificationError>,
    ) -> Result<Arc<Claims>, AuthFailure> {
        let Some(attempt) = self.attempt else {
            return verified.map_err(|it| it.failure);
        };
        record_verification(&self.authenticator.metrics, &verified);
        match verified {
            Ok(claims) => {
                attempt.finish(Some(claims.service.as_str()), Ok(()));
                self.authenticator.verifier.on_authenticated(&claims);
                Ok(claims)
            }
            Err(VerificationError { service, failure }) => {
                let service = service.as_ref().map(ServiceId::as_str);
                attempt.finish(service, Err(failure.reason()));
                Err(failure)
            }
        }
    }
}
