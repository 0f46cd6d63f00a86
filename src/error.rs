//! What a store may answer instead of a result.

use std::error::Error;

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

    /// The store gave no answer within its limit.
    #[must_use]
    pub fn timed_out() -> Self {
        Self::Unavailable("no answer within the store timeout".into())
    }
}
