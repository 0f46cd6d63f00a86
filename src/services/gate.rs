//! The gate: lets requests in that come with an access token. THE one place that counts them.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use super::{AuthFailure, Claims, ServiceId, Tokens, Unopened};
use crate::{
    error::StoreError,
    telemetry::instruments::{AuthAttempt, AuthMetrics, AuthOperation, OTHER_SERVICE},
};

/// Why a token is not believed, and whose it is where that is certain.
#[derive(Debug, thiserror::Error)]
#[error("the token is not accepted")]
pub struct Unverified {
    /// The service that it was issued to, if its signature is right and the service is registered.
    pub service: Option<ServiceId>,
    /// Why.
    #[source]
    pub failure: AuthFailure,
}

impl From<AuthFailure> for Unverified {
    fn from(failure: AuthFailure) -> Self {
        Self {
            service: None,
            failure,
        }
    }
}

impl From<Unopened> for Unverified {
    fn from(unopened: Unopened) -> Self {
        Self {
            service: unopened.claims_service,
            failure: unopened.why,
        }
    }
}

impl From<StoreError> for Unverified {
    fn from(error: StoreError) -> Self {
        AuthFailure::from(error).into()
    }
}

/// Someone who can tell whether an access token is to be believed: the issuer itself, or another application by the issuer's
/// public keys or its introspection.
#[async_trait]
pub trait TokenVerifier: fmt::Debug + Send + Sync {
    /// The answer, where that needs no question to anyone. `None` says: ask [`TokenVerifier::verify`].
    fn verify_at_hand(&self, token: &str) -> Option<Result<Arc<Claims>, Unverified>>;

    /// The answer.
    ///
    /// # Errors
    ///
    /// [`Unverified`].
    async fn verify(&self, token: &str) -> Result<Arc<Claims>, Unverified>;

    /// Told of each token that was let in, after that was counted. Waits for nobody.
    fn let_in(&self, _claims: &Claims) {}
}

#[async_trait]
impl TokenVerifier for Tokens {
    fn verify_at_hand(&self, token: &str) -> Option<Result<Arc<Claims>, Unverified>> {
        Self::verify_at_hand(self, token)
    }

    async fn verify(&self, token: &str) -> Result<Arc<Claims>, Unverified> {
        Self::verify(self, token).await
    }

    fn let_in(&self, claims: &Claims) {
        self.note(claims);
    }
}

/// Lets requests in that come with an access token, and counts each. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gate {
    verifier: Arc<dyn TokenVerifier>,
    metrics: AuthMetrics,
}

impl Gate {
    /// A gate that believes `verifier`.
    #[must_use]
    pub fn new(verifier: Arc<dyn TokenVerifier>, metrics: AuthMetrics) -> Self {
        Self { verifier, metrics }
    }

    /// Whose request it is that came with this token; an `Err` in its place says that none could be read, which counts too.
    ///
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
            Begun::Answered(answer) => answer,
            Begun::Asking(asking) => asking.answer(token).await,
        }
    }

    /// As [`Gate::identify`], as far as it goes without waiting for anyone: for callers that would have to pay for a future
    /// that nearly always is ready at once.
    pub fn begin(&self, token: &str) -> Begun {
        self.counting().begin(token)
    }

    /// As [`Gate::begin`], for a request that was counted already.
    pub fn begin_again(&self, token: &str) -> Begun {
        self.asking(None).begin(token)
    }

    /// Counts a request without a token that could be looked at.
    pub fn refuse(&self, malformed: &'static str) {
        let failure = AuthFailure::Malformed(malformed);
        // What became of it is what it was.
        let _ = self.counting().count(Err(failure.into()));
    }

    fn counting(&self) -> Asking {
        self.asking(Some(
            self.metrics.auth_started(AuthOperation::TokenVerification),
        ))
    }

    fn asking(&self, attempt: Option<AuthAttempt>) -> Asking {
        Asking {
            gate: self.clone(),
            attempt,
        }
    }
}

/// What became of a token so far.
#[derive(Debug)]
#[must_use = "a token about which nobody is asked counts as cancelled"]
pub enum Begun {
    /// This.
    Answered(Result<Arc<Claims>, AuthFailure>),
    /// Someone has to be asked.
    Asking(Asking),
}

/// A token about which someone has to be asked. Dropped without, it counts as cancelled.
#[derive(Debug)]
pub struct Asking {
    gate: Gate,
    /// `None` where the request is counted elsewhere.
    attempt: Option<AuthAttempt>,
}

impl Asking {
    /// Asks about the same token.
    ///
    /// # Errors
    ///
    /// [`AuthFailure`].
    pub async fn answer(self, token: &str) -> Result<Arc<Claims>, AuthFailure> {
        let answer = self.gate.verifier.verify(token).await;
        self.count(answer)
    }

    fn begin(self, token: &str) -> Begun {
        match self.gate.verifier.verify_at_hand(token) {
            Some(verified) => Begun::Answered(self.count(verified)),
            None => Begun::Asking(self),
        }
    }

    fn count(self, verified: Result<Arc<Claims>, Unverified>) -> Result<Arc<Claims>, AuthFailure> {
        let Some(attempt) = self.attempt else {
            return verified.map_err(|it| it.failure);
        };
        record_verification(&self.gate.metrics, &verified);
        match verified {
            Ok(claims) => {
                attempt.finish(Some(claims.service.as_str()), Ok(()));
                self.gate.verifier.let_in(&claims);
                Ok(claims)
            }
            Err(Unverified { service, failure }) => {
                let service = service.as_ref().map(ServiceId::as_str);
                attempt.finish(service, Err(failure.reason()));
                Err(failure)
            }
        }
    }
}

/// Counts a token that was looked at.
pub(super) fn record_verification(
    metrics: &AuthMetrics,
    verified: &Result<Arc<Claims>, Unverified>,
) {
    let (service, status) = match verified {
        Ok(claims) => (Some(&claims.service), "valid"),
        Err(Unverified { service, failure }) => (service.as_ref(), failure.reason()),
    };
    let service = service.map_or(OTHER_SERVICE, ServiceId::as_str);
    metrics.record_token_verification(service, status);
}
