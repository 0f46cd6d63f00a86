//! Why the authentication of a service failed.

use std::time::Duration;

use super::{Allowance, AuthFailureReason, LimitType};
use skriptoteket_core::error::{Cause, StoreError};

/// Why the authentication of a service failed. The text quotes nothing from the request.
#[derive(Debug, thiserror::Error)]
pub enum AuthFailure {
    /// There is no such service.
    #[error("there is no such service")]
    UnknownService,
    /// The secret is not one of the service's secrets.
    #[error("the secret is wrong")]
    BadSecret,
    /// The secret has expired.
    #[error("the credential has expired")]
    ExpiredCredential,
    /// The service is disabled.
    #[error("the service is disabled")]
    Disabled,
    /// The token or assertion is unsigned, or signed with another key.
    #[error("the signature is wrong")]
    BadSignature,
    /// The token or assertion has expired, or is not valid yet.
    #[error("the token has expired, or is not valid yet")]
    ExpiredToken,
    /// The token was revoked, or the assertion was used before.
    #[error("the token was revoked")]
    RevokedToken,
    /// The token or assertion is from another issuer, or for another audience.
    #[error("the token is not for this audience")]
    WrongAudience,
    /// The request has no credential in the expected form, or more than one.
    #[error("{0}")]
    Malformed(&'static str),
    /// A limit of the service is reached.
    #[error("too many requests")]
    RateLimited {
        /// The limit that was reached.
        limit: LimitType,
        /// Time until the next request may pass; never zero.
        retry_after: Duration,
        /// What is left of the limits.
        allowance: Allowance,
    },
    /// A store did not respond.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An internal error occurred.
    #[error("the authentication failed because of an internal error")]
    Internal(#[source] Cause),
}

impl AuthFailure {
    /// Returns the reason under which the failure is counted.
    #[must_use]
    pub const fn reason(&self) -> AuthFailureReason {
        match self {
            Self::UnknownService => AuthFailureReason::UnknownService,
            Self::BadSecret => AuthFailureReason::BadSecret,
            Self::ExpiredCredential => AuthFailureReason::ExpiredCredential,
            Self::Disabled => AuthFailureReason::Disabled,
            Self::BadSignature => AuthFailureReason::BadSignature,
            Self::ExpiredToken => AuthFailureReason::ExpiredToken,
            Self::RevokedToken => AuthFailureReason::RevokedToken,
            Self::WrongAudience => AuthFailureReason::WrongAudience,
            Self::Malformed(_) => AuthFailureReason::Malformed,
            Self::RateLimited { .. } => AuthFailureReason::RateLimited,
            Self::Store(StoreError::Unavailable(_)) => AuthFailureReason::StoreUnavailable,
            Self::Store(_) | Self::Internal(_) => AuthFailureReason::InternalError,
        }
    }
}

/// Why a request to the store failed, in a form that all callers that wait for it can share.
#[derive(Clone, Debug)]
pub(super) enum SharedFailure {
    Unavailable,
    Corrupt(&'static str),
    Internal,
}

impl SharedFailure {
    pub(super) fn of(failure: &AuthFailure) -> Self {
        match failure {
            AuthFailure::Store(StoreError::Corrupt(what)) => Self::Corrupt(what),
            AuthFailure::Store(_) => Self::Unavailable,
            _ => Self::Internal,
        }
    }
}

impl From<SharedFailure> for AuthFailure {
    fn from(failed: SharedFailure) -> Self {
        match failed {
            SharedFailure::Unavailable => {
                StoreError::Unavailable("it did not respond a moment ago".into()).into()
            }
            SharedFailure::Corrupt(what) => StoreError::Corrupt(what).into(),
            SharedFailure::Internal => Self::Internal("it failed a moment ago".into()),
        }
    }
}
