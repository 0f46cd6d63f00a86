//! Why a request is not authenticated by an access token.

use skriptoteket_core::error::Cause;
use skriptoteket_services::{AuthFailure, Scope};

/// Why a request has no [`ServiceIdentity`](super::ServiceIdentity), or an insufficient one. The text quotes nothing
/// from the request.
#[derive(Debug, thiserror::Error)]
pub enum BearerError {
    /// There is no access token.
    #[error("send an access token: Authorization: Bearer")]
    Missing,
    /// The header does not conform to RFC 6750, or there are several.
    #[error("send one header Authorization: Bearer, followed by the token")]
    Malformed,
    /// The token is not accepted.
    #[error("the access token is not valid")]
    Invalid(#[source] AuthFailure),
    /// The token lacks the required scope.
    #[error("the access token lacks a scope")]
    InsufficientScope(Scope),
    /// The token belongs to another service.
    #[error("the access token belongs to another service")]
    NotOwn,
    /// The token cannot be checked at the moment.
    #[error("access tokens cannot be checked now")]
    Unavailable(#[source] Cause),
    /// The application failed.
    #[error("the access token was not checked because of an internal error")]
    Internal(#[source] Cause),
}

impl From<AuthFailure> for BearerError {
    fn from(failure: AuthFailure) -> Self {
        match failure {
            AuthFailure::Store(error) if error.error_type() == "unavailable" => {
                Self::Unavailable(error.into())
            }
            AuthFailure::Store(error) => Self::Internal(error.into()),
            AuthFailure::Internal(cause) => Self::Internal(cause),
            AuthFailure::UnknownService
            | AuthFailure::BadSecret
            | AuthFailure::ExpiredCredential
            | AuthFailure::Disabled
            | AuthFailure::BadSignature
            | AuthFailure::ExpiredToken
            | AuthFailure::RevokedToken
            | AuthFailure::WrongAudience
            | AuthFailure::Malformed(_)
            | AuthFailure::RateLimited { .. } => Self::Invalid(failure),
        }
    }
}
