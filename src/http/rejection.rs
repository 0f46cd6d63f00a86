//! Why a request does not reach a use case.

use actix_web::http::header::HeaderValue;

use crate::accounts::Role;

/// The largest body, in bytes: a login is a few hundred.
pub(super) const BODY_LIMIT: usize = 16 * 1024;

/// Why a request does not reach a use case. The text is for the client and quotes nothing from the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// A browser says that another site sent it.
    #[error("the request came from another site")]
    CrossSite,
    /// It has no live session.
    #[error("nobody is logged in")]
    NoSession,
    /// Its session has a lower role than this one.
    #[error("the role must be at least {0}")]
    RoleTooLow(Role),
    /// Its body says that it is something else.
    #[error("expected Content-Type: application/json, in UTF-8 and without Content-Encoding")]
    NotJson,
    /// Its body is too large.
    #[error("a body has at most {} bytes", BODY_LIMIT)]
    TooLarge,
    /// Its body did not arrive in time.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// Its body ended before its end.
    #[error("the body ended before its end")]
    CutOff,
    /// Its body is not JSON, or not this JSON.
    #[error("expected {expected}; the body differs at line {line}, column {column}")]
    Malformed {
        /// What it should have been.
        expected: &'static str,
        /// Where it is not, from 1.
        line: usize,
        /// Where in that line, from 1.
        column: usize,
    },
    /// A query parameter is unknown, there twice, or has a value that it cannot have.
    #[error("{0}")]
    Parameter(String),
    /// A value of the body is none of those that there are.
    #[error("{0}")]
    Value(String),
    /// There is no such thing.
    #[error("not found")]
    NotFound,
    /// There is, but not with this method.
    #[error("the method is not allowed here")]
    Method {
        /// Those that are.
        allow: HeaderValue,
    },
}
