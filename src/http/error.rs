//! Maps errors to responses. No other module decides which error has which status.

use std::{error::Error, fmt, time::Duration};

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header::HeaderValue},
};

use super::{
    bearer_error::BearerError,
    problem::{Kind, Problem},
    rejection::Rejection,
};
use crate::{
    accounts::{AccountError, registration::RegisterError},
    error::{Cause, StoreError},
    login::{LoginError, PasswordChangeError},
    repeats,
    services::{AuthFailure, RegistryError},
};

/// `Retry-After` if the time is unknown: an unavailable store, a full queue.
pub(super) const COME_BACK: Duration = Duration::from_secs(2);

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
const NO_SESSION: Kind = Kind::new(
    "/problems/no-session",
    "Nobody is logged in",
    StatusCode::UNAUTHORIZED,
);
const NOT_ALLOWED: Kind = Kind::new(
    "/problems/not-allowed",
    "This role may not do that",
    StatusCode::FORBIDDEN,
);
const WRONG_PASSWORD: Kind = Kind::new(
    "/problems/wrong-password",
    "The current password is wrong",
    StatusCode::FORBIDDEN,
);
const WEAK_PASSWORD: Kind = Kind::new(
    "/problems/weak-password",
    "The new password is too weak",
    StatusCode::UNPROCESSABLE_ENTITY,
);
const INVALID_VALUE: Kind = Kind::new(
    "/problems/invalid-value",
    "A value is not one of those allowed",
    StatusCode::UNPROCESSABLE_ENTITY,
);
const INVALID_PARAMETER: Kind = Kind::new(
    "/problems/invalid-parameter",
    "A query parameter is wrong",
    StatusCode::BAD_REQUEST,
);
const MALFORMED_BODY: Kind = Kind::new(
    "/problems/malformed-body",
    "The body is not what is expected",
    StatusCode::BAD_REQUEST,
);
const NAME_TAKEN: Kind = Kind::new(
    "/problems/name-taken",
    "The user name is taken",
    StatusCode::CONFLICT,
);
const LAST_SUPERUSER: Kind = Kind::new(
    "/problems/last-superuser",
    "The last superuser cannot be demoted, disabled or deleted",
    StatusCode::CONFLICT,
);

const NO_TOKEN: Kind = Kind::new(
    "/problems/no-token",
    "There is no access token",
    StatusCode::UNAUTHORIZED,
);
const MALFORMED_TOKEN: Kind = Kind::new(
    "/problems/malformed-token",
    "The access token is not sent as it should be",
    StatusCode::BAD_REQUEST,
);
const INVALID_TOKEN: Kind = Kind::new(
    "/problems/invalid-token",
    "The access token is not valid",
    StatusCode::UNAUTHORIZED,
);
const INSUFFICIENT_SCOPE: Kind = Kind::new(
    "/problems/insufficient-scope",
    "The access token does not allow that",
    StatusCode::FORBIDDEN,
);
const NOT_OWN: Kind = Kind::new(
    "/problems/not-own",
    "A service may do that for itself only",
    StatusCode::FORBIDDEN,
);
const TOO_MANY_REQUESTS: Kind = Kind::new(
    "/problems/too-many-requests",
    "The service has reached a limit",
    StatusCode::TOO_MANY_REQUESTS,
);
const SERVICE_TAKEN: Kind = Kind::new(
    "/problems/service-taken",
    "The service id is taken",
    StatusCode::CONFLICT,
);
const TOO_MANY_SERVICES: Kind = Kind::new(
    "/problems/too-many-services",
    "There are as many services as there may be",
    StatusCode::CONFLICT,
);
const STILL_OVERLAPPING: Kind = Kind::new(
    "/problems/still-overlapping",
    "The credential that was replaced last is still accepted",
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
    /// The password was not changed.
    #[error(transparent)]
    PasswordChange(#[from] PasswordChangeError),
    /// The account was not created.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The account was not changed.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The access token is not accepted.
    #[error(transparent)]
    Bearer(#[from] BearerError),
    /// An authenticated service is rejected.
    #[error(transparent)]
    Service(#[from] AuthFailure),
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
pub(super) struct Panicked;

impl ApiError {
    /// Returns the problem document for this error.
    pub(super) fn problem(&self) -> Problem {
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
            Self::PasswordChange(error) => match error {
                PasswordChangeError::WrongPassword => WRONG_PASSWORD.into(),
                PasswordChangeError::Weak(why) => weak(why),
                PasswordChangeError::RateLimited { retry_after } => too_many_attempts(*retry_after),
                PasswordChangeError::Overloaded => unavailable(),
                PasswordChangeError::Store(error) => store(error),
                PasswordChangeError::Internal(_) => internal(),
            },
            Self::Register(error) => match error {
                RegisterError::Name(why) => {
                    Problem::from(INVALID_VALUE).with_detail(why.to_string())
                }
                RegisterError::Weak(why) => weak(why),
                RegisterError::AlreadyExists => NAME_TAKEN.into(),
                RegisterError::NotFound => Kind::blank(StatusCode::NOT_FOUND).into(),
                RegisterError::Overloaded => unavailable(),
                RegisterError::Store(error) => store(error),
                RegisterError::Hash(_) => internal(),
            },
            Self::Bearer(error) => bearer(error),
            Self::Service(failure) => service(failure),
            Self::Registry(error) => registry(error),
            Self::Account(AccountError::LastSuperuser) => LAST_SUPERUSER.into(),
            Self::Account(AccountError::Store(error)) | Self::Store(error) => store(error),
            Self::Internal(_) => internal(),
        }
    }

    /// Returns the outcome that the audit trail records for an action that failed with this error.
    pub(super) const fn reason(&self) -> &'static str {
        match self {
            Self::Rejected(rejection) => match rejection {
                Rejection::CrossSite => "cross_site",
                Rejection::NoSession => "unauthenticated",
                Rejection::RoleTooLow(_) => "forbidden",
                Rejection::NotFound => "not_found",
                _ => "invalid_request",
            },
            Self::Login(error) => error.failure().as_str(),
            Self::PasswordChange(error) => error.result().as_str(),
            Self::Register(error) => error.reason(),
            Self::Account(error) => error.reason(),
            Self::Registry(error) => error.reason(),
            Self::Store(error) => error.reason(),
            Self::Bearer(_) => "unauthenticated",
            Self::Service(_) => "forbidden",
            Self::Internal(_) => "internal_error",
        }
    }

    /// Logs this error and returns the response to it.
    pub(super) fn response(&self) -> HttpResponse {
        respond(self, &self.problem())
    }
}

/// Logs the error and returns the response for its problem document.
pub(super) fn respond(error: &dyn Error, problem: &Problem) -> HttpResponse {
    log(error, problem.status());
    problem.response()
}

/// Logs errors of the service, with their causes; the client learns nothing about them.
///
/// An unavailable store or a full queue is logged once a minute for each cause, not for each request; the metrics count
/// them.
pub(super) fn log(error: &dyn Error, status: StatusCode) {
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
        Rejection::NoSession => NO_SESSION.into(),
        Rejection::RoleTooLow(_) => NOT_ALLOWED.into(),
        Rejection::NotJson => {
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

/// Returns the response to a service whose access token is not accepted or not sufficient (RFC 6750, section 3).
pub(super) fn bearer(error: &BearerError) -> Problem {
    let challenge = |error: Option<(&str, &str)>| {
        let error = error.map(|(code, description)| {
            format!(r#", error="{code}", error_description="{description}""#)
        });
        format!(
            r#"Bearer realm="skriptoteket"{}"#,
            error.unwrap_or_default()
        )
    };
    let (kind, challenge) = match error {
        // A request without a token gets no error code (section 3.1).
        BearerError::Missing => (NO_TOKEN, challenge(None)),
        BearerError::Malformed => {
            let text = "send one header Authorization: Bearer, followed by the token";
            (MALFORMED_TOKEN, challenge(Some(("invalid_request", text))))
        }
        BearerError::Invalid(_) => {
            let text = "the access token is malformed, expired, revoked, or not for this service";
            (INVALID_TOKEN, challenge(Some(("invalid_token", text))))
        }
        BearerError::InsufficientScope(scope) => {
            let text = "the access token lacks a scope";
            let known = challenge(Some(("insufficient_scope", text)));
            (INSUFFICIENT_SCOPE, format!(r#"{known}, scope="{scope}""#))
        }
        BearerError::NotOwn => return NOT_OWN.into(),
        BearerError::Unavailable(_) => return unavailable(),
        BearerError::Internal(_) => return internal(),
    };
    // The challenge contains fixed texts and a scope, which is visible ASCII without quotes.
    match HeaderValue::from_str(&challenge) {
        Ok(challenge) => Problem::from(kind).with_challenge(challenge),
        Err(_) => kind.into(),
    }
}

/// Returns the response to an authenticated service that is rejected later.
fn service(failure: &AuthFailure) -> Problem {
    match failure {
        AuthFailure::RateLimited {
            retry_after,
            allowance,
            ..
        } => Problem::from(TOO_MANY_REQUESTS)
            .with_retry_after(*retry_after)
            .with_allowance(*allowance),
        AuthFailure::Store(error) => store(error),
        AuthFailure::Internal(_) => internal(),
        // The service was deleted or disabled after it was authenticated.
        AuthFailure::UnknownService
        | AuthFailure::BadSecret
        | AuthFailure::ExpiredCredential
        | AuthFailure::Disabled
        | AuthFailure::BadSignature
        | AuthFailure::ExpiredToken
        | AuthFailure::RevokedToken
        | AuthFailure::WrongAudience
        | AuthFailure::Malformed(_) => bearer(&BearerError::Invalid(AuthFailure::UnknownService)),
    }
}

fn registry(error: &RegistryError) -> Problem {
    let told = |kind: Kind| Problem::from(kind).with_detail(error.to_string());
    match error {
        RegistryError::AlreadyExists => SERVICE_TAKEN.into(),
        RegistryError::Full(_) => told(TOO_MANY_SERVICES),
        RegistryError::NotFound => Kind::blank(StatusCode::NOT_FOUND).into(),
        RegistryError::StillOverlapping { .. } => told(STILL_OVERLAPPING),
        RegistryError::Description
        | RegistryError::Scopes
        | RegistryError::Limits(_)
        | RegistryError::PublicKeys(_) => told(INVALID_VALUE),
        RegistryError::Store(error) => store(error),
    }
}

fn weak(why: &crate::accounts::password::WeakPassword) -> Problem {
    Problem::from(WEAK_PASSWORD).with_detail(why.to_string())
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
