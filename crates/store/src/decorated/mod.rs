//! Repositories as a server uses them: every call is bounded by the wait budget of the request, and recorded.
//!
//! | file | what is in it |
//! |---|---|
//! | `budget` | the wait budget of the request |
//! | `recording` | duration, result and span of a call |
//! | `people`, `services` | the methods of the repositories, each delegated |

mod budget;
mod people;
mod recording;
#[cfg(feature = "services")]
mod services;

use std::{fmt, future::Future, sync::Arc};

use self::{budget::Budget, recording::Recording};
use crate::metrics::StoreMetrics;
use skriptoteket_core::{clock::Clock, error::StoreError};
use skriptoteket_login::accounts::AccountError;

/// A repository whose calls are bounded by the [`wait_budget`](skriptoteket_core::wait_budget) of the caller and, with metrics,
/// recorded in `skriptoteket.store_operation_duration` and as spans. An operation has the name of its method.
pub struct Decorated<R: ?Sized> {
    inner: Arc<R>,
    budget: Budget,
    recording: Option<Recording>,
}

impl<R: ?Sized> Decorated<R> {
    /// Decorates `inner`. Without `metrics` its calls are bounded but not recorded.
    #[must_use]
    pub fn new(inner: Arc<R>, clock: Arc<dyn Clock>, metrics: Option<StoreMetrics>) -> Self {
        Self {
            inner,
            budget: Budget::new(clock),
            recording: metrics.map(Recording::new),
        }
    }

    async fn call<T, E: Failure + From<StoreError>>(
        &self,
        store: &'static str,
        operation: &'static str,
        answer: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        // The recording is outside: a call that the budget ends is recorded as a failure.
        let bounded = self.budget.bound(answer);
        match &self.recording {
            Some(recording) => recording.record(store, operation, bounded).await,
            None => bounded.await,
        }
    }
}

impl<R: ?Sized + fmt::Debug> fmt::Debug for Decorated<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Decorated").field(&self.inner).finish()
    }
}

/// An error that may come from the store.
trait Failure {
    /// The value of `error.type`, or `None` if the store did respond.
    fn error_type(&self) -> Option<&'static str>;
}

impl Failure for StoreError {
    fn error_type(&self) -> Option<&'static str> {
        Some(self.error_type())
    }
}

impl Failure for AccountError {
    fn error_type(&self) -> Option<&'static str> {
        match self {
            Self::LastSuperuser => None,
            Self::Store(error) => Some(error.error_type()),
        }
    }
}
