//! The `/metrics` page.

use prometheus::{Registry, TextEncoder};

/// Why a page cannot be rendered.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// There are readers but no series: telemetry is shut down, or no instrument was ever built. An empty page would
    /// look like a successful scrape.
    #[error("there are no metrics to show")]
    Silent,
    /// The metrics cannot be formatted as text.
    #[error("the metrics cannot be written as text")]
    Encoding(#[from] prometheus::Error),
}

/// Renders metrics in the Prometheus text format, version 0.0.4. Cheap to clone.
///
/// If telemetry or its Prometheus part is disabled, the page is empty and valid.
#[derive(Clone, Debug)]
pub struct MetricsPage {
    registries: Vec<Registry>,
}

impl MetricsPage {
    /// The page's `Content-Type`.
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    pub(super) fn new(registries: Vec<Registry>) -> Self {
        Self { registries }
    }

    /// Renders the current page. Reads memory only; takes about 100 µs.
    ///
    /// # Errors
    ///
    /// [`PageError::Silent`] once telemetry is shut down, and before the first instrument is built.
    pub fn render(&self) -> Result<String, PageError> {
        let mut families: Vec<_> = self.registries.iter().flat_map(Registry::gather).collect();
        if families.is_empty() && !self.registries.is_empty() {
            return Err(PageError::Silent);
        }
        families.sort_by(|a, b| a.name().cmp(b.name()));
        Ok(TextEncoder::new().encode_to_string(&families)?)
    }
}
