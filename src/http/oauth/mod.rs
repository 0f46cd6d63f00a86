//! The authorization server according to RFC 6749 and its companions.
//!
//! | file | what is in it |
//! |---|---|
//! | `form` | forms: bounded in size and time, parsed strictly |
//! | `client` | client authentication |
//! | `error` | the mapping from failures to OAuth errors |
//! | `token`, `introspection`, `revocation` | one file per endpoint |
//! | `metadata` | the published signing keys and endpoints |

mod client;
mod error;
mod form;
pub(super) mod introspection;
pub(super) mod metadata;
pub(super) mod revocation;
pub(super) mod token;

pub(super) use error::ErrorView;

use crate::services::AuthFailure;

/// Why a request cannot be authenticated. It still counts as an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The request identifies no client.
    NoCredentials,
    /// The credentials do not have the form that their method requires.
    BadCredentials(&'static str),
    /// The form exceeds the maximum size.
    TooLarge,
    /// The form did not arrive in time.
    TooSlow,
    /// The request is malformed in this way.
    Malformed(&'static str),
}

impl Fault {
    /// Returns the description of the fault.
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
