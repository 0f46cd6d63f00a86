//! Errors of a store.

use std::{error::Error, fmt::Write};

/// The cause inside a [`StoreError`], kept whole for the log.
pub type Cause = Box<dyn Error + Send + Sync>;

/// A failure of a store, described by a fixed text. The text contains nothing that was passed to the store, so it may
/// be logged for any request.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Explained {
    /// The description.
    pub text: &'static str,
    /// The underlying error.
    #[source]
    pub source: Option<Cause>,
}

/// Why an operation of a store failed.
///
/// The text never contains a value from the request, so it may be logged; it is never sent to a client.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store did not respond, or not in time. A retry later may succeed.
    #[error("the store is unavailable")]
    Unavailable(#[source] Cause),
    /// The record already exists.
    #[error("already in the store")]
    Conflict,
    /// The stored data cannot be decoded.
    #[error("a stored record cannot be read: {0}")]
    Corrupt(&'static str),
}

impl StoreError {
    /// Returns the class of this error as a closed label value (`error.type` in telemetry).
    #[must_use]
    pub const fn error_type(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Conflict => "conflict",
            Self::Corrupt(_) => "corrupt",
        }
    }

    /// Returns the reason of an attempt that failed because of the store: `store_unavailable`, or `internal_error`.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "store_unavailable",
            Self::Conflict | Self::Corrupt(_) => "internal_error",
        }
    }

    /// Formats this error and its causes in one line, for operators. Do not use it for a request: a cause may repeat
    /// the values that were passed to the store.
    #[must_use]
    pub fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut next = self.source();
        while let Some(cause) = next {
            // Some errors include the text of their cause in their own.
            let said = cause.to_string();
            if !text.ends_with(&said) {
                // Writing to a string does not fail.
                let _ = write!(text, ": {said}");
            }
            next = cause.source();
        }
        text
    }

    /// Returns a description for the log of a request, without anything that was passed to the store.
    #[must_use]
    pub fn explanation(&self) -> &'static str {
        let mut next = self.source();
        while let Some(cause) = next {
            if let Some(explained) = cause.downcast_ref::<Explained>() {
                return explained.text;
            }
            next = cause.source();
        }
        match self {
            Self::Unavailable(_) => "no response, or a failure without a known cause",
            Self::Conflict => "already in the store",
            Self::Corrupt(what) => what,
        }
    }

    /// Creates the error for a store that did not respond within its timeout.
    #[must_use]
    pub fn timed_out() -> Self {
        let text = "no response within the store timeout";
        Self::Unavailable(Explained { text, source: None }.into())
    }
}
