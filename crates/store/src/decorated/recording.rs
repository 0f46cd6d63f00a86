//! Records calls as metrics and spans.

use std::future::Future;

use tracing::{Instrument, Span, field::Empty};

use super::Failure;
use crate::metrics::{StoreMetrics, StoreOperation};

/// Records the duration and the result of each call. A call whose future is dropped has no result and records no
/// duration.
#[derive(Debug)]
pub(super) struct Recording(StoreMetrics);

impl Recording {
    pub(super) const fn new(metrics: StoreMetrics) -> Self {
        Self(metrics)
    }

    pub(super) async fn record<T, E: Failure>(
        &self,
        store: &'static str,
        operation: &'static str,
        answer: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        let started = self.0.start();
        // Only within a request: the spans of the reaper and the census would fill a trace store.
        let span = if Span::current().is_none() {
            Span::none()
        } else {
            tracing::debug_span!("store operation", store, operation, error.type = Empty)
        };
        let result = answer.instrument(span.clone()).await;
        let error_type = result.as_ref().err().and_then(Failure::error_type);
        if let Some(error_type) = error_type {
            span.record("error.type", error_type);
        }
        self.0
            .finish(StoreOperation { store, operation }, started, error_type);
        result
    }
}
