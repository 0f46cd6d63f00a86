//! Stands for spans and log records without the feature `tracing`: none is exported.

use std::time::Duration;

use opentelemetry_sdk::Resource;

use super::{Job, OtelSettings, TelemetryError};

/// No provider.
#[derive(Debug, Default)]
pub(super) struct Signals {}

impl Signals {
    /// Warns of targets that get nothing.
    #[expect(clippy::unnecessary_wraps, reason = "as with the feature")]
    pub(super) fn start(settings: &OtelSettings, _: &Resource) -> Result<Self, TelemetryError> {
        if settings.traces.is_some() || settings.logs.is_some() {
            tracing::warn!(
                "spans and log records are not exported: the program is built without the feature `tracing`"
            );
        }
        Ok(Self {})
    }

    /// Returns nothing.
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(super) fn flushes(&self) -> Vec<Job> {
        Vec::new()
    }

    /// Returns nothing.
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(super) fn shutdowns(self, _: Duration) -> Vec<Job> {
        Vec::new()
    }
}
