//! Maps errors to responses. No other module decides which error has which status.

#[cfg(feature = "registration")]
mod registration;
#[cfg(feature = "services")]
mod service;

use std::{error::Error, fmt, time::Duration};

use actix_web::{HttpResponse, ResponseError, http::StatusCode};

use super::{
    problem::{Kind, Problem},
    rejection::Rejection,
};
use skriptoteket_core::{
    error::{Cause, StoreError},
    repeats,
};
use skriptoteket_login::{accounts::AccountError, login::LoginError};
#[cfg(feature = "registration")]
use skriptoteket_login::{accounts::registration::RegisterError, login::PasswordChangeError};
#[cfg(feature = "services")]
use skriptoteket_services::{AuthFailure, RegistryError};

#[cfg(feature = "services")]
use super::bearer_error::BearerError;
#[cfg(feature = "services")]
pub use service::bearer;

/// `Retry-After` if the time is unknown: an unavailable store, a full queue.
pub const COME_BACK: Duration = Duration::from_secs(2);

const INVALID_CREDENTIALS: Kind = Kind::new(
    "/problems/invalid-credentials",
    "The user name or the password is wrong",
    StatusCode::UNAUTHORIZED,
);
const TOO_MANY_ATTEMPTS: Kind = Kind::new(
    "/problems/too-many-attempts",
    "Too many attempts",
    StatusCode::TOO_MANY_REQUESTS,
);
const CROSS_SITE: Kind = Kind::new(
    "/problems/cross-site",
    "The request came from another site",
    StatusCode::FORBIDDEN,
);
const OUTDATED_FORM: Kind = Kind::new(
    "/problems/outdated-form",
    "The form is outdated",
    StatusCode::FORBIDDEN,
);
const NO_SESSION: Kind = Kind::new(
    "/problems/no-session",
    "No user is logged in",
    StatusCode::UNAUTHORIZED,
);
const NOT_ALLOWED: Kind = Kind::new(
    "/problems/not-allowed",
    "The role does not allow the request",
    StatusCode::FORBIDDEN,
);
const INVALID_VALUE: Kind = Kind::new(
    "/problems/invalid-value",
    "A value is not one of those allowed",
    StatusCode::UNPROCESSABLE_ENTITY,
);
const INVALID_PARAMETER: Kind = Kind::new(
    "/problems/invalid-parameter",
    "A query parameter is invalid",
    StatusCode::BAD_REQUEST,
);
const MALFORMED_BODY: Kind = Kind::new(
    "/problems/malformed-body",
    "The body is invalid",
    StatusCode::BAD_REQUEST,
);
const LAST_SUPERUSER: Kind = Kind::new(
    "/problems/last-superuser",
    "The last superuser cannot be demoted, disabled or deleted",
    StatusCode::CONFLICT,
);

/// Everything that a request can fail with.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The request was rejected before it reached a use case.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The login failed.
    #[error(transparent)]
    Login(#[from] LoginError),
    #[cfg(feature = "registration")]
    /// The password was not changed.
    #[error(transparent)]
    PasswordChange(#[from] PasswordChangeError),
    #[cfg(feature = "registration")]
    /// The account was not created.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The account was not changed.
    #[error(transparent)]
    Account(#[from] AccountError),
    #[cfg(feature = "services")]
    /// The access token is not accepted.
    #[error(transparent)]
    Bearer(#[from] BearerError),
    #[cfg(feature = "services")]
    /// An authenticated service is rejected.
    #[error(transparent)]
    Service(#[from] AuthFailure),
    #[cfg(feature = "services")]
    /// A service was not registered, changed or deleted.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The service failed.
    #[error("the request failed because of an internal error")]
    Internal(#[source] Cause),
}

/// A handler panicked. The panic hook has logged the location.
#[derive(Debug, thiserror::Error)]
#[error("a handler panicked")]
pub struct Panicked;

impl ApiError {
    /// Returns the problem document for this error.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Rejected(rejection) => rejected(rejection),
            Self::Login(error) => match error {
                LoginError::CrossSite => CROSS_SITE.into(),
                // A disabled account is not revealed to clients that are not authenticated.
                LoginError::InvalidCredentials | LoginError::AccountDisabled => {
                    INVALID_CREDENTIALS.into()
                }
                LoginError::AccountLocked { retry_after }
                | LoginError::RateLimited { retry_after } => too_many_attempts(*retry_after),
                LoginError::Overloaded => unavailable(),
                LoginError::Store(error) => store(error),
                LoginError::Internal(_) => internal(),
            },
            #[cfg(feature = "registration")]
            Self::PasswordChange(error) => registration::password_change(error),
            #[cfg(feature = "registration")]
            Self::Register(error) => registration::register(error),
            #[cfg(feature = "services")]
            Self::Bearer(error) => service::bearer(error),
            #[cfg(feature = "services")]
            Self::Service(failure) => service::service(failure),
            #[cfg(feature = "services")]
            Self::Registry(error) => service::registry(error),
            Self::Account(AccountError::LastSuperuser) => LAST_SUPERUSER.into(),
            Self::Account(AccountError::Store(error)) | Self::Store(error) => store(error),
            Self::Internal(_) => internal(),
        }
    }

    /// Returns the outcome that the audit trail records for an action that failed with this error.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Rejected(rejection) => match rejection {
                Rejection::CrossSite => "cross_site",
                Rejection::NoSession => "unauthenticated",
                Rejection::RoleTooLow(_) => "forbidden",
                Rejection::NotFound => "not_found",
                _ => "invalid_request",
            },
            Self::Login(error) => error.failure().as_str(),
            #[cfg(feature = "registration")]
            Self::PasswordChange(error) => error.result().as_str(),
            #[cfg(feature = "registration")]
            Self::Register(error) => error.reason(),
            Self::Account(error) => error.reason(),
            #[cfg(feature = "services")]
            Self::Registry(error) => error.reason(),
            Self::Store(error) => error.reason(),
            #[cfg(feature = "services")]
            Self::Bearer(_) => "unauthenticated",
            #[cfg(feature = "services")]
            Self::Service(_) => "forbidden",
            Self::Internal(_) => "internal_error",
        }
    }

    /// Logs this error and returns the response to it.
    pub fn response(&self) -> HttpResponse {
        respond(self, &self.problem())
    }
}

/// Logs the error and returns the response for its problem document.
pub fn respond(error: &dyn Error, problem: &Problem) -> HttpResponse {
    log(error, problem.status());
    problem.response()
}

/// Logs errors of the service, with their causes; the client learns nothing about them.
///
/// An unavailable store or a full queue is logged once a minute for each cause, not for each request; the metrics count
/// them.
pub fn log(error: &dyn Error, status: StatusCode) {
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let cause = Chain(error).to_string();
        if let Some(unlogged) = repeats::due("request", &cause) {
            tracing::warn!(error = %cause, unlogged, "requests cannot be served now (503)");
        } else {
            tracing::debug!(error = %cause, "a request could not be served (503)");
        }
    } else if status.is_server_error() {
        tracing::error!(error = %Chain(error), "a request failed");
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.problem().status()
    }

    fn error_response(&self) -> HttpResponse {
        self.response()
    }
}

fn rejected(rejection: &Rejection) -> Problem {
    let blank = |status| Problem::from(Kind::blank(status));
    match rejection {
        Rejection::CrossSite => CROSS_SITE.into(),
        Rejection::OutdatedForm => OUTDATED_FORM.into(),
        Rejection::NoSession => NO_SESSION.into(),
        Rejection::RoleTooLow(_) => NOT_ALLOWED.into(),
        Rejection::NotJson | Rejection::NotForm => {
            blank(StatusCode::UNSUPPORTED_MEDIA_TYPE).with_detail(rejection.to_string())
        }
        Rejection::TooLarge => {
            blank(StatusCode::PAYLOAD_TOO_LARGE).with_detail(rejection.to_string())
        }
        Rejection::TooSlow => blank(StatusCode::REQUEST_TIMEOUT),
        Rejection::Malformed { .. } | Rejection::CutOff => {
            Problem::from(MALFORMED_BODY).with_detail(rejection.to_string())
        }
        Rejection::Parameter(_) => {
            Problem::from(INVALID_PARAMETER).with_detail(rejection.to_string())
        }
        Rejection::Value(expected) => Problem::from(INVALID_VALUE).with_detail(expected.clone()),
        Rejection::NotFound => blank(StatusCode::NOT_FOUND),
        Rejection::Method { allow } => {
            blank(StatusCode::METHOD_NOT_ALLOWED).with_allow(Some(allow.clone()))
        }
    }
}

fn store(error: &StoreError) -> Problem {
    match error {
        StoreError::Unavailable(_) => unavailable(),
        StoreError::Conflict | StoreError::Corrupt(_) => internal(),
    }
}

fn too_many_attempts(retry_after: Duration) -> Problem {
    Problem::from(TOO_MANY_ATTEMPTS).with_retry_after(retry_after)
}

fn unavailable() -> Problem {
    Problem::from(Kind::blank(StatusCode::SERVICE_UNAVAILABLE)).with_retry_after(COME_BACK)
}

fn internal() -> Problem {
    Kind::blank(StatusCode::INTERNAL_SERVER_ERROR).into()
}

/// Displays an error and its causes in one line.
struct Chain<'a>(&'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
