//! Telemetry: metrics, spans and logs, and the ways they leave the process.
//!
//! | file | what is in it |
//! |---|---|
//! | `metrics` | the providers behind the instruments |
//! | `page` | `/metrics` |
//! | `exposition` | such a page read back |
//! | `otlp` | exporters, for all three signals |
//! | `export` | exports that fail: why, and to which endpoint |
//! | `resource` | what this process calls itself |
//! | `settings` | what is exported, and where to |
//! | `sampling` | which requests are traced |
//! | `tracing` | log lines, spans and log records; the parent that a caller sends |
//! | `lines` | log lines as JSON |
//! | `sdk_log_filter` | what other crates say, and failing exports, kept short |
//! | `testing` | metrics read in memory |
//!
//! No call in here waits for the network, apart from those to flush and to shut down, which have a limit.

mod export;
pub mod exposition;
mod lines;
mod metrics;
mod otlp;
mod page;
mod resource;
mod sampling;
mod sdk_log_filter;
mod settings;
pub mod testing;
pub mod tracing;

#[cfg(test)]
mod tests;

pub use metrics::{AllMetrics, ServiceWide};
pub use page::{MetricsPage, PageError};
pub use sampling::{RequestFacts, RequestTrace, RequestTraces};
pub use settings::{
    ClientIdentity, LogFormat, LogSettings, OtelSettings, OtlpProtocol, OtlpTarget, OtlpTls,
    SampledShare, TraceSampler,
};

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

pub use opentelemetry::metrics::Meter;
use opentelemetry_sdk::{
    error::{OTelSdkError, OTelSdkResult},
    logs::SdkLoggerProvider,
    metrics::Temporality,
    trace::SdkTracerProvider,
};
use uuid::Uuid;

use crate::{
    clock::{Clock, SystemClock},
    metric::Catalogue,
    telemetry::{OtelSettings, TraceSampler},
};

/// Why telemetry could not be set up, or not be delivered.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// An exporter cannot be built: one of the `OTEL_EXPORTER_OTLP_*` variables is wrong.
    #[error("an OTLP exporter cannot be built")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The HTTP client of an exporter cannot be built.
    #[error("the HTTP client of an OTLP exporter cannot be built: {0}")]
    Client(String),
    /// OTLP over gRPC needs a tokio runtime around it.
    #[error("OTLP over gRPC was started outside a tokio runtime")]
    NoRuntime(#[source] tokio::runtime::TryCurrentError),
    /// The `/metrics` page cannot be set up.
    #[error("the metrics page cannot be set up")]
    Page(#[source] OTelSdkError),
    /// The log filter cannot be read.
    #[error("the log filter cannot be read")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Logs are set up already in this process.
    #[error("logs are set up already")]
    Installed(#[from] tracing_subscriber::util::TryInitError),
    /// What was recorded last did not leave.
    #[error("not all telemetry was delivered")]
    Undelivered(#[source] OTelSdkError),
}

/// All that records and exports, as one thing to start and to shut down.
///
/// Instruments that are recorded as things happen share one provider with all readers. Observed ones are registered
/// once per reader, each on a provider of its own: in SDK 0.33 a callback that is run for one reader writes into all
/// readers of its provider, so that one of them could show a gauge that is already withdrawn.
///
/// What is the same truth on every replica has a third set of providers, which say that they are one instance wherever
/// they run: see [`Telemetry::service_wide`].
#[derive(Debug)]
pub struct Telemetry {
    metrics: metrics::Providers,
    spans: Option<SdkTracerProvider>,
    logs: Option<SdkLoggerProvider>,
    sampler: TraceSampler,
}

impl Telemetry {
    /// Builds the providers of the metrics in `catalogue`. Nothing is sent yet, so an absent Collector does not matter.
    ///
    /// # Errors
    ///
    /// [`TelemetryError::NoRuntime`] if a target speaks gRPC and there is no tokio runtime;
    /// [`TelemetryError::Exporter`] if a standard variable that the exporter reads itself is wrong.
    pub fn start(settings: &OtelSettings, catalogue: Catalogue) -> Result<Self, TelemetryError> {
        if settings.disabled {
            return Ok(Self::disabled());
        }
        let resource = resource::of_this_process(&settings.resource);
        let mut metrics = metrics::Builder::new(resource.clone(), catalogue);
        if settings.prometheus {
            metrics = metrics.page()?;
        }
        if let Some(target) = &settings.metrics {
            let (target, interval) = (target.clone(), settings.metric_export_interval);
            let reader = move |temporality| otlp::metric_reader(&target, interval, temporality);
            let (recorded, observed) = (reader(None)?, reader(None)?);
            // The store's totals, whatever is preferred: the SDK's deltas of them begin anew after each gap, with all that
            // ever was, and it does not survive totals that fall, as they do in a store that lost its data.
            let service_wide = move || reader(Some(Temporality::Cumulative));
            metrics = metrics.reader(recorded, observed, service_wide);
        }
        let spans = match &settings.traces {
            Some(target) => Some(otlp::tracer_provider(
                target,
                settings.sampler,
                resource.clone(),
            )?),
            None => None,
        };
        let logs = match &settings.logs {
            Some(target) => Some(otlp::logger_provider(target, resource)?),
            None => None,
        };
        Ok(Self {
            metrics: metrics.build(),
            spans,
            logs,
            sampler: settings.sampler,
        })
    }

    /// Telemetry that records nothing: instruments can be built and called, at next to no cost.
    #[must_use]
    pub fn disabled() -> Self {
        Self {
            metrics: metrics::Builder::new(resource::of_this_process(&[]), &[]).build(),
            spans: None,
            logs: None,
            sampler: TraceSampler::default(),
        }
    }

    /// The meter for instruments that are recorded as things happen.
    #[must_use]
    pub fn meter(&self) -> Meter {
        self.metrics.meter()
    }

    /// The meters on which observed instruments are registered: one per reader, none where nothing reads.
    #[must_use]
    pub fn observed_meters(&self) -> Vec<Meter> {
        self.metrics.observed_meters()
    }

    /// The meters for what is the same truth on every replica; `instance` is what all of them call themselves. The
    /// first call decides it.
    ///
    /// # Errors
    ///
    /// As [`Telemetry::start`].
    pub fn service_wide(&self, instance: Uuid) -> Result<ServiceWide, TelemetryError> {
        self.metrics.service_wide(instance)
    }

    /// All that exports metrics, to be flushed apart from spans and log records. What is service-wide is in it once
    /// [`Telemetry::service_wide`] was called.
    #[must_use]
    pub fn all_metrics(&self) -> AllMetrics {
        self.metrics.exported()
    }

    /// What decides which requests are traced. Make one and clone it: all share one allowance of traces of slow and failed
    /// requests.
    #[must_use]
    pub fn request_traces(&self, clock: Arc<dyn Clock>) -> RequestTraces {
        self.spans
            .as_ref()
            .map_or_else(RequestTraces::off, |spans| {
                RequestTraces::new(spans, self.sampler, clock)
            })
    }

    /// The `/metrics` page. It can be rendered until telemetry is shut down or dropped.
    #[must_use]
    pub fn page(&self) -> MetricsPage {
        self.metrics.rendered()
    }

    /// Sends what is waiting. Blocks for at most `limit`: in async code, call it on a blocking thread.
    ///
    /// # Errors
    ///
    /// [`TelemetryError::Undelivered`] if an exporter failed or took longer.
    pub fn flush(&self, limit: Duration) -> Result<(), TelemetryError> {
        let mut jobs: Vec<Job> = Vec::new();
        for provider in self.metrics.all() {
            jobs.push(Box::new(move || provider.force_flush()));
        }
        if let Some(provider) = self.spans.clone() {
            jobs.push(Box::new(move || provider.force_flush()));
        }
        if let Some(provider) = self.logs.clone() {
            jobs.push(Box::new(move || provider.force_flush()));
        }
        run_all(jobs, limit)
    }

    /// Sends what is waiting and ends. Blocks for at most `limit`: in async code, call it on a blocking thread, while
    /// the runtime is still there.
    ///
    /// # Errors
    ///
    /// [`TelemetryError::Undelivered`] if an exporter failed or took longer.
    pub fn shutdown(self, limit: Duration) -> Result<(), TelemetryError> {
        let mut jobs: Vec<Job> = Vec::new();
        for provider in self.metrics.all() {
            jobs.push(Box::new(move || provider.shutdown()));
        }
        if let Some(provider) = self.spans {
            jobs.push(Box::new(move || provider.shutdown_with_timeout(limit)));
        }
        if let Some(provider) = self.logs {
            jobs.push(Box::new(move || provider.shutdown_with_timeout(limit)));
        }
        run_all(jobs, limit)
    }
}

type Job = Box<dyn FnOnce() -> OTelSdkResult + Send>;

/// Runs every job on a thread of its own. A job that is not done in time is left alone.
///
/// The SDK cannot bound these calls itself: meter providers ignore the timeout they are given, and wait 5 s for each of
/// their readers in turn.
fn run_all(jobs: Vec<Job>, limit: Duration) -> Result<(), TelemetryError> {
    let clock = SystemClock::default();
    let (sender, results) = mpsc::channel();
    let mut waiting = 0;
    let mut outcome = Ok(());
    for job in jobs {
        let sender = sender.clone();
        let started = thread::Builder::new()
            .name(String::from("telemetry-flush"))
            // The receiver is gone once the limit has passed; then nobody wants the answer.
            .spawn(move || drop(sender.send(job())));
        match started {
            Ok(_) => waiting += 1,
            Err(error) => outcome = Err(OTelSdkError::InternalFailure(error.to_string())),
        }
    }
    drop(sender);
    for _ in 0..waiting {
        let left = limit.saturating_sub(clock.monotonic());
        match results.recv_timeout(left) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => outcome = Err(error),
            Err(_) => {
                outcome = Err(OTelSdkError::Timeout(limit));
                break;
            }
        }
    }
    outcome.map_err(TelemetryError::Undelivered)
}
