//! Runs work that must not stop half-way.

use std::future::Future;

use tokio::runtime::Handle;
use tracing::Instrument;

use crate::{audit, error::StoreError, wait_budget};

/// Runs `work` on its own task and waits for it. If the caller is dropped, the work continues, so a write is never
/// separated from the steps that have to follow it. The task spends from the wait budget of the caller, in its span
/// and under its administrative action.
///
/// # Errors
///
/// Those of `work`; [`StoreError::Unavailable`] if it panicked, or if the runtime is shutting down.
pub async fn run<T, E, F>(runtime: &Handle, work: F) -> Result<T, E>
where
    F: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    let task = audit::carried(wait_budget::carried(work)).in_current_span();
    match runtime.spawn(task).await {
        Ok(result) => result,
        Err(error) => Err(StoreError::Unavailable(error.into()).into()),
    }
}
