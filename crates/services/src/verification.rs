//! Verification of access tokens: the verifiers' trait, the errors, and the metrics.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use super::{
    AuthFailure, AuthMetrics, Claims, OTHER_SERVICE, ServiceId, TokenRejected, TokenStatus,
};
use skriptoteket_core::error::StoreError;

/// Why a token was rejected, and the service it was issued to, if that is certain.
#[derive(Debug, thiserror::Error)]
#[error("the token is not accepted")]
pub struct VerificationError {
    /// The service that the token was issued to, if its signature is valid and the service is registered.
    pub service: Option<ServiceId>,
    /// The reason.
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

/// Verifies access tokens. Implemented by the issuer itself, and for other applications with the public keys of the
/// issuer or by introspection.
#[async_trait]
pub trait TokenVerifier: fmt::Debug + Send + Sync {
    /// Returns the result if it is in memory. `None`: call [`TokenVerifier::verify`].
    fn verify_cached(&self, token: &str) -> Option<Result<Arc<Claims>, VerificationError>>;

    /// Verifies the token.
    ///
    /// # Errors
    ///
    /// [`VerificationError`].
    async fn verify(&self, token: &str) -> Result<Arc<Claims>, VerificationError>;

    /// Called for each accepted token, after it was counted. Must not block.
    fn on_authenticated(&self, _claims: &Claims) {}
}

/// Counts a token that was checked.
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
