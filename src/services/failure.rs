//! Why a service is not let in.

use std::time::Duration;

use super::{Allowance, AuthFailureReason, LimitType};
use crate::error::{Cause, StoreError};

/// Why a service is not let in. The text quotes nothing from the request.
#[derive(Debug, thiserror::Error)]
pub enum AuthFailure {
    /// There is no such service.
    #[error("there is no such service")]
    UnknownService,
    /// The secret is none of the service's.
    #[error("the secret is wrong")]
    BadSecret,
    /// The secret was the service's once.
    #[error("the credential has expired")]
    ExpiredCredential,
    /// The service may not authenticate.
    #[error("the service is disabled")]
    Disabled,
    /// The token or assertion is not signed by whom it should be, or not signed at all.
    #[error("the signature is wrong")]
    BadSignature,
    /// The token or assertion is outside its time.
    #[error("the token has expired, or is not valid yet")]
    ExpiredToken,
    /// The token was revoked, or the assertion used before.
    #[error("the token was revoked")]
    RevokedToken,
    /// The token or assertion is of another issuer, or for somebody else.
    #[error("the token is not for this audience")]
    WrongAudience,
    /// What was sent is not in the form of a credential, or there is none, or there is more than one.
    #[error("{0}")]
    Malformed(&'static str),
    /// A limit of the service is reached.
    #[error("too many requests")]
    RateLimited {
        /// Which.
        limit: LimitType,
        /// When the next one may pass; never zero.
        retry_after: Duration,
        /// What is left of the limits.
        allowance: Allowance,
    },
    /// A store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The service failed.
    #[error("the authentication failed for a reason of our own")]
    Internal(#[source] Cause),
}

impl AuthFailure {
    /// The reason under which it is counted.
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
