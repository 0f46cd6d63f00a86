//! Bounds calls by the wait budget of the caller.

use std::{fmt, future::Future, sync::Arc};

use skriptoteket_core::{clock::Clock, error::StoreError, wait_budget};

/// Ends a call when the [`wait_budget`] of the caller is spent, and deducts the duration of each call from it.
pub(super) struct Budget {
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Budget")
    }
}

impl Budget {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }

    pub(super) async fn bound<T, E: From<StoreError>>(
        &self,
        answer: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        let started = self.clock.monotonic();
        let result = match wait_budget::left() {
            None => answer.await,
            Some(left) => tokio::time::timeout(left, answer)
                .await
                .unwrap_or_else(|_| Err(StoreError::timed_out().into())),
        };
        wait_budget::spend(self.clock.monotonic().saturating_sub(started));
        result
    }
}
