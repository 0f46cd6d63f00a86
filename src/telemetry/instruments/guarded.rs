//! Callbacks of observable instruments that survive a panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

use opentelemetry::metrics::AsyncInstrument;

/// Keeps a panic inside a callback: in SDK 0.33 it would end the export thread and empty `/metrics` for good.
pub(super) fn guarded<T>(
    callback: impl Fn(&dyn AsyncInstrument<T>) + Send + Sync + 'static,
) -> impl Fn(&dyn AsyncInstrument<T>) + Send + Sync + 'static {
    move |observer| {
        if catch_unwind(AssertUnwindSafe(|| callback(observer))).is_err() {
            tracing::error!("an instrument's callback panicked; its series are absent");
        }
    }
}
