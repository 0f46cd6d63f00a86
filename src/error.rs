//! What a store may answer instead of a result.

use std::error::Error;
use std::fmt::Write;

/// The cause inside a [`StoreError`], kept whole for the log.
pub type Cause = Box<dyn Error + Send + Sync>;

/// Why a store did not do what it was asked.
///
/// The text never carries a value from the request, so it may be logged; it is never sent to a client.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store did not answer, or not in time. Trying again later may help.
    #[error("the store is unavailable")]
    Unavailable(#[source] Cause),
    /// What was to be added is already there.
    #[error("already in the store")]
    Conflict,
    /// What is stored cannot be read as what it should be.
    #[error("a stored record cannot be read: {0}")]
    Corrupt(&'static str),
}

impl StoreError {
    /// The class of this error as a closed label value (`error.type` in telemetry).
    #[must_use]
    pub const fn error_type(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Conflict => "conflict",
            Self::Corrupt(_) => "corrupt",
        }
    }

    /// Why an attempt failed that a store did not let through: `store_unavailable`, or `internal_error`.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "store_unavailable",
            Self::Conflict | Self::Corrupt(_) => "internal_error",
        }
    }

    /// This error and its causes, in one line, for operators. Only of what no request asked for: a cause may repeat
    /// what it was given.
    #[must_use]
    pub fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut next = self.source();
        while let Some(cause) = next {
            // Some errors have the text of their cause in their own.
            let said = cause.to_string();
            if !text.ends_with(&said) {
                // Writing into a text does not fail.
                let _ = write!(text, ": {said}");
            }
            next = cause.source();
        }
        text
    }

    /// The store gave no answer within its limit.
    #[must_use]
    pub fn timed_out() -> Self {
        Self::Unavailable("no answer within the store timeout".into())
    }
}
