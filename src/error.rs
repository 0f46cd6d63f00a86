//! What a store may answer instead of a result.

use std::{error::Error, fmt::Write};

/// The cause inside a [`StoreError`], kept whole for the log.
pub type Cause = Box<dyn Error + Send + Sync>;

/// What is wrong with a store, in a fixed text. It repeats nothing that the store was given, so it may be logged for any
/// request.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Explained {
    /// What is wrong.
    pub text: &'static str,
    /// The error of the store.
    #[source]
    pub source: Option<Cause>,
}

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

    /// What is wrong, for the log of a request: without anything that the store was given.
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
            Self::Unavailable(_) => "no answer, or a failure without a known cause",
            Self::Conflict => "already in the store",
            Self::Corrupt(what) => what,
        }
    }

    /// The store gave no answer within its limit.
    #[must_use]
    pub fn timed_out() -> Self {
        let text = "no answer within the store timeout";
        Self::Unavailable(Explained { text, source: None }.into())
    }
}
