//! Runs work that must not stop half-way, on a task of its own.
//!
//! A new task has none of the task-local state of the one that spawned it. [`carried`] passes that state on: the wait
//! budget, and a value that [`scope`] has set.

use std::{any::Any, future::Future, sync::Arc};

use tokio::runtime::Handle;
use tracing::Instrument;

use crate::{error::StoreError, wait_budget};

tokio::task_local! {
    static VALUE: Arc<dyn Any + Send + Sync>;
}

/// Runs `work` with this value, which [`value`] returns meanwhile. Tasks that `work` spawns do not have it, unless they
/// are [`carried`].
pub fn scope<F: Future>(
    value: Arc<dyn Any + Send + Sync>,
    work: F,
) -> impl Future<Output = F::Output> {
    // Not an `async fn`: its future would hold the argument twice.
    VALUE.scope(value, work)
}

/// Returns the value of the innermost [`scope`] around the current code, if it has this type.
#[must_use]
pub fn value<T: Any + Send + Sync>() -> Option<Arc<T>> {
    let value = VALUE.try_with(Arc::clone).ok()?;
    value.downcast().ok()
}

/// Wraps work for another task that the current one waits for: it spends from the same wait budget and has the same
/// [`value`].
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let value = VALUE.try_with(Arc::clone);
    let work = wait_budget::carried(work);
    async move {
        match value {
            Ok(value) => scope(value, work).await,
            Err(_) => work.await,
        }
    }
}

/// Runs `work` on its own task and waits for it. If the caller is dropped, the work continues, so a write is never
/// separated from the steps that have to follow it. The task is [`carried`] and runs in the span of the caller.
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
    let task = carried(work).in_current_span();
    match runtime.spawn(task).await {
        Ok(result) => result,
        Err(error) => Err(StoreError::Unavailable(error.into()).into()),
    }
}
