//! The verification of access tokens: who can do it, why it fails, and how it is counted.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use super::{
    AuthFailure, AuthMetrics, Claims, OTHER_SERVICE, ServiceId, TokenRejected, TokenStatus,
};
use crate::error::StoreError;

/// Why a token is not believed, and whose it is where that is certain.
#[derive(Debug, thiserror::Error)]
#[error("the token is not accepted")]
pub struct VerificationError {
    /// The service that it was issued to, if its signature is right and the service is registered.
    pub service: Option<ServiceId>,
    /// Why.
    #[source]
    pub failure: AuthFailure,
}

impl From<AuthFailure> for VerificationError {
    fn from(failure: AuthFailure) -> Self {
        Self {
            service: None,
            failure,
        }
    }
}

impl From<TokenRejected> for VerificationError {
    fn from(rejected: TokenRejected) -> Self {
        Self {
            service: rejected.claims_service,
            failure: rejected.why,
        }
    }
}

impl From<StoreError> for VerificationError {
    fn from(error: StoreError) -> Self {
        AuthFailure::from(error).into()
    }
}

/// Verifies access tokens: the issuer itself, or another application with the public keys of the issuer or by introspection.
#[async_trait]
pub trait TokenVerifier: fmt::Debug + Send + Sync {
    /// The answer, if it is in memory. `None`: call [`TokenVerifier::verify`].
    fn verify_cached(&self, token: &str) -> Option<Result<Arc<Claims>, VerificationError>>;

    /// The answer.
    ///
    /// # Errors
    ///
    /// [`VerificationError`].
    async fn verify(&self, token: &str) -> Result<Arc<Claims>, VerificationError>;

    /// Called for each accepted token, after it was counted. Must not block.
    fn on_authenticated(&self, _claims: &Claims) {}
}

/// Counts a token that was looked at.
pub(super) fn record_verification(
    metrics: &AuthMetrics,
    verified: &Result<Arc<Claims>, VerificationError>,
) {
    let (service, status) = match verified {
        Ok(claims) => (Some(&claims.service), TokenStatus::Valid),
        Err(VerificationError { service, failure }) => (service.as_ref(), failure.reason().into()),
    };
    let service = service.map_or(OTHER_SERVICE, ServiceId::as_str);
    metrics.record_token_verification(service, status);
}
