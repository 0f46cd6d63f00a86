//! The first export of metrics and the last one, which do not wait for the interval.

use std::time::Duration;

use crate::{
    sessions::census::CensusTaker,
    telemetry::{AllMetrics, ServiceWide},
};

/// What a Collector that does not answer may add to the start.
const FIRST_EXPORT: Duration = Duration::from_millis(500);

/// What the export of the last count takes of [`super::LAST_TASKS`] at most. Without it the lease is kept, so that the
/// end of telemetry, which has more time, tries again.
const HAND_OVER: Duration = Duration::from_millis(200);

/// Exports every counter at 0 before anybody is served. Whoever asks for an increase compares two values: what happens
/// before the first export is never told.
///
/// Without a Collector there is nobody to tell; the service serves all the same.
pub(super) async fn first_export(metrics: AllMetrics) {
    let flush = tokio::task::spawn_blocking(move || metrics.flush(FIRST_EXPORT));
    if let Ok(Err(error)) = flush.await {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "the first metrics were not delivered"
        );
    }
}

/// Counts the sessions and, where another replica may take over, exports that and releases the lease.
pub(super) async fn last_count(census: &CensusTaker, hand_over: Option<ServiceWide>) {
    let _ = census.count().await;
    let Some(service_wide) = hand_over else {
        return;
    };
    // In this order: once another one observes, an export of this one would bring older counts under the same name, and
    // a total that goes back is taken for a restart of the store.
    let flush = tokio::task::spawn_blocking(move || service_wide.flush(HAND_OVER));
    if let Ok(Ok(())) = flush.await
        && let Err(error) = census.resign().await
    {
        tracing::debug!(error.type = error.error_type(), "the lease was not released; it ends by itself");
    }
}
