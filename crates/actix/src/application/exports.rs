//! The first and the last export of metrics, which do not wait for the interval.

use std::time::Duration;

use skriptoteket_sessions::census::CensusTaker;
use skriptoteket_telemetry::{AllMetrics, ServiceWide};

/// Maximum delay of the start by a Collector that does not respond.
const FIRST_EXPORT: Duration = Duration::from_millis(500);

/// Maximum share of the time of a shutdown for the export of the last count. If the export fails, the lease is kept, so
/// that the shutdown of telemetry, which has more time, tries again.
const HAND_OVER: Duration = Duration::from_millis(200);

/// Exports every counter at 0 before the first request is served. An increase is computed from two values, so events
/// before the first export would never be reported.
///
/// Without a Collector the values are lost; the service starts anyway.
pub async fn first_export(metrics: AllMetrics) {
    let flush = tokio::task::spawn_blocking(move || metrics.flush(FIRST_EXPORT));
    if let Ok(Err(error)) = flush.await {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "the first export of metrics failed"
        );
    }
}

/// Counts the sessions. If another replica may take over, also exports the count and releases the lease.
pub async fn last_count(census: &CensusTaker, hand_over: Option<ServiceWide>) {
    let _ = census.count().await;
    let Some(service_wide) = hand_over else {
        return;
    };
    // The order matters: once another replica observes, an export from this one would write older counts to the same
    // series, and a total that decreases is taken for a restart of the store.
    let flush = tokio::task::spawn_blocking(move || service_wide.flush(HAND_OVER));
    if let Ok(Ok(())) = flush.await
        && let Err(error) = census.resign().await
    {
        tracing::debug!(error.type = error.error_type(), "the lease was not released; it will expire");
    }
}
