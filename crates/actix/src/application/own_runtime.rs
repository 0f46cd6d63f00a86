//! The runtime of the background tasks.

use tokio::runtime::{Builder, Handle, Runtime};

use super::BuildError;

/// Threads of the runtime that telemetry, background tasks and unfinished logins run on.
const WORKERS: usize = 2;

/// A runtime that may be dropped in async code, which a [`Runtime`] must not be. What runs on it ends.
pub(super) struct OwnRuntime(Option<Runtime>, Handle);

impl OwnRuntime {
    /// Starts the threads.
    pub(super) fn start() -> Result<Self, BuildError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("skriptoteket")
            .enable_all()
            .build()
            .map_err(BuildError::Runtime)?;
        let handle = runtime.handle().clone();
        Ok(Self(Some(runtime), handle))
    }

    /// Returns what tasks are spawned with.
    pub(super) const fn handle(&self) -> &Handle {
        &self.1
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
