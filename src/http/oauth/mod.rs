//! The authorization server as RFC 6749 and its companions have it.
//!
//! | file | what is in it |
//! |---|---|
//! | `form` | forms: bounded in size and time, read strictly |
//! | `client` | who a client says it is |
//! | `error` | THE match from what fails to OAuth's errors |
//! | `token`, `introspection`, `revocation` | one file per endpoint |
//! | `metadata` | what is published: the signing keys, and where the endpoints are |

mod client;
mod error;
mod form;
pub(super) mod introspection;
pub(super) mod metadata;
pub(super) mod revocation;
pub(super) mod token;

pub(super) use error::ErrorView;

use crate::services::AuthFailure;

/// Why nobody can be authenticated by what was sent. It counts as an attempt all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// There is nothing that a client could be known by.
    NoCredentials,
    /// What the client shows of itself is not in the form that its way asks for.
    BadCredentials(&'static str),
    /// The form is larger than we read.
    TooLarge,
    /// The form did not arrive in time.
    TooSlow,
    /// This is wrong with it.
    Malformed(&'static str),
}

impl Fault {
    /// What it says of itself.
    const fn text(self) -> &'static str {
        match self {
            Self::NoCredentials => "the client has to authenticate",
            Self::TooLarge => "the form is too large",
            Self::TooSlow => "the form did not arrive in time",
            Self::BadCredentials(text) | Self::Malformed(text) => text,
        }
    }
}

impl From<Fault> for AuthFailure {
    fn from(fault: Fault) -> Self {
        Self::Malformed(fault.text())
    }
}
