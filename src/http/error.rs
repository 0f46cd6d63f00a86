//! THE match from errors to answers: the one place that knows which error has which status.

use std::{error::Error, fmt, time::Duration};

use actix_web::{HttpResponse, ResponseError, http::StatusCode};

use super::{
    problem::{Kind, Problem},
    rejection::Rejection,
};
use crate::{
    accounts::{AccountError, registration::RegisterError},
    error::{Cause, StoreError},
    login::{LoginError, PasswordChangeError},
};

/// When to come back where we cannot know: a store that is away, a queue that is full.
const COME_BACK: Duration = Duration::from_secs(2);

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

/// Everything that a request can fail with.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// It did not get as far as a use case.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The login failed.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The password was not changed.
    #[error(transparent)]
    PasswordChange(#[from] PasswordChangeError),
    /// The account was not made.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The account was not changed.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The service failed.
    #[error("the request failed for a reason of our own")]
    Internal(#[source] Cause),
}

/// A handler panicked. The panic hook has told where.
#[derive(Debug, thiserror::Error)]
#[error("a handler panicked")]
pub(super) struct Panicked;

impl ApiError {
    /// The answer to this error.
    pub(super) fn problem(&self) -> Problem {
        match self {
            Self::Rejected(rejection) => rejected(rejection),
            Self::Login(error) => match error {
                LoginError::CrossSite => CROSS_SITE.into(),
                // That an account is disabled is told to nobody who is not in already.
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
                PasswordChangeError::AccountLocked { retry_after }
                | PasswordChangeError::RateLimited { retry_after } => {
                    too_many_attempts(*retry_after)
                }
                PasswordChangeError::Overloaded => unavailable(),
                PasswordChangeError::Store(error) => store(error),
                PasswordChangeError::Internal(_) => internal(),
            },
            Self::Register(error) => match error {
                RegisterError::Name(why) => {
                    Problem::from(INVALID_VALUE).with_detail(why.to_string())
                }
                RegisterError::Weak(why) => weak(why),
                RegisterError::Taken => NAME_TAKEN.into(),
                RegisterError::Gone => Kind::blank(StatusCode::NOT_FOUND).into(),
                RegisterError::Overloaded => unavailable(),
                RegisterError::Store(error) => store(error),
                RegisterError::Hash(_) => internal(),
            },
            Self::Account(AccountError::LastSuperuser) => LAST_SUPERUSER.into(),
            Self::Account(AccountError::Store(error)) | Self::Store(error) => store(error),
            Self::Internal(_) => internal(),
        }
    }

    /// The answer to this error, as a response; logs it.
    pub(super) fn response(&self) -> HttpResponse {
        let problem = self.problem();
        self.log(problem.status());
        problem.response()
    }

    /// Writes what is our own fault to the log, with its causes: the client is told nothing of it.
    ///
    /// A store that is away or a full queue is not logged per request: the census says once when it begins and ends,
    /// and the metrics count it.
    fn log(&self, status: StatusCode) {
        if status == StatusCode::SERVICE_UNAVAILABLE {
            tracing::debug!(error = %Chain(self), "a request could not be served now");
        } else if status.is_server_error() {
            tracing::error!(error = %Chain(self), "a request failed");
        }
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

/// An error and its causes in one line.
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
