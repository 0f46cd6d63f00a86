//! Why a request does not reach a use case.

use actix_web::http::header::HeaderValue;

use skriptoteket_login::accounts::Role;

/// Maximum size of a body, in bytes: a login is a few hundred.
pub(super) const BODY_LIMIT: usize = 16 * 1024;

/// Why a request does not reach a use case. The text is for the client and quotes nothing from the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// A browser reports that another site sent the request.
    #[error("the request came from another site")]
    CrossSite,
    /// A form was submitted without the CSRF token of the current session.
    #[error("the form is outdated")]
    OutdatedForm,
    /// The request has no live session.
    #[error("no user is logged in")]
    NoSession,
    /// The session has a lower role than this one.
    #[error("the role must be at least {0}")]
    RoleTooLow(Role),
    /// The body is declared as another media type.
    #[error("expected Content-Type: application/json, in UTF-8 and without Content-Encoding")]
    NotJson,
    /// The body is declared as another media type than that of forms.
    #[error(
        "expected Content-Type: application/x-www-form-urlencoded, in UTF-8 and without Content-Encoding"
    )]
    NotForm,
    /// The body is too large.
    #[error("a body has at most {} bytes", BODY_LIMIT)]
    TooLarge,
    /// The body did not arrive in time.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// The body is incomplete.
    #[error("the body is incomplete")]
    CutOff,
    /// The body is not JSON, or not the expected JSON.
    #[error("expected {expected}; the body differs at line {line}, column {column}")]
    Malformed {
        /// The expected form.
        expected: &'static str,
        /// Line of the first difference, from 1.
        line: usize,
        /// Column of the first difference, from 1.
        column: usize,
    },
    /// A query parameter is unknown, repeated, or has an invalid value.
    #[error("{0}")]
    Parameter(String),
    /// A value of the body is not among those allowed.
    #[error("{0}")]
    Value(String),
    /// The resource does not exist.
    #[error("not found")]
    NotFound,
    /// The resource does not support this method.
    #[error("the method is not allowed here")]
    Method {
        /// The supported methods.
        allow: HeaderValue,
    },
}
