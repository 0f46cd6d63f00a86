//! Keeps background tasks running.

use std::{future::Future, time::Duration};

/// Minimum delay before a failed task is restarted.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Runs a task that never ends. If it ends or panics, logs that, calls `on_failure` and restarts the task.
pub fn keep_running<F>(
    name: &'static str,
    task: impl Fn() -> F + Send + 'static,
    on_failure: impl Fn() + Send + 'static,
) -> tokio::task::JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        let mut running = AbortOnDrop(tokio::spawn(task()));
        loop {
            let ended = (&mut running.0).await;
            on_failure();
            tracing::error!(
                task = name,
                crashed = ended.is_err(),
                "a background task ended; restarting it"
            );
            tokio::time::sleep(RESTART_PAUSE).await;
            running = AbortOnDrop(tokio::spawn(task()));
        }
    })
}

/// A task that is aborted when its supervisor is dropped.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_is_told_of_and_comes_back() {
        let starts = Arc::new(AtomicU32::new(0));
        let (failed, back) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (counted, again) = (Arc::clone(&starts), Arc::clone(&back));
        let task = move || {
            let (counted, again) = (Arc::clone(&counted), Arc::clone(&again));
            async move {
                assert!(counted.fetch_add(1, Ordering::SeqCst) > 0, "the first time");
                again.notify_one();
                std::future::pending::<()>().await;
            }
        };
        let on_failure = Arc::clone(&failed);
        let running = keep_running("test", task, move || on_failure.notify_one());
        failed.notified().await;
        back.notified().await;
        assert_eq!(starts.load(Ordering::SeqCst), 2);
        running.abort();
    }
}
