//! Telemetry: metrics, spans and logs, and their export.
//!
//! | file | contents |
//! |---|---|
//! | `metrics` | the meter providers behind the instruments |
//! | `page` | the `/metrics` page |
//! | `exposition` | parser of such a page |
//! | `otlp` | the exporter of metrics, and what all exporters have in common |
//! | `signals`, `no_signals` | providers of spans and log records, or none |
//! | `grpc` | the settings of exporters over gRPC |
//! | `export` | logs failed exports with cause and endpoint |
//! | `resource` | the resource attributes of this process |
//! | `settings` | what is exported, and the endpoints |
//! | `sampling` | which requests are traced |
//! | `tracing` | log lines, spans and log records; the parent trace of a request |
//! | `lines` | log lines as JSON |
//! | `sdk_log_filter` | limits the log messages of other crates and of failed exports |
//! | `testing` | reads metrics in memory |
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `grpc` | OTLP over gRPC |
//! | `gzip` | compressed exports |
//! | `tracing` | spans and log records: `sampling`, `tracing`, `lines`, `sdk_log_filter` |
//!
//! No call in this module waits for the network, except flush and shutdown, which have a limit.

mod export;
pub mod exposition;
#[cfg(feature = "grpc")]
mod grpc;
#[cfg(feature = "tracing")]
mod lines;
mod metrics;
#[cfg(not(feature = "tracing"))]
mod no_signals;
mod otlp;
mod page;
mod resource;
#[cfg(feature = "tracing")]
mod sampling;
#[cfg(feature = "tracing")]
mod sdk_log_filter;
mod settings;
#[cfg(feature = "tracing")]
mod signals;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(feature = "tracing")]
pub mod tracing;

#[cfg(test)]
#[cfg(feature = "tracing")]
mod tests;

pub use metrics::{AllMetrics, ServiceWide};
pub use page::{MetricsPage, PageError};
#[cfg(feature = "tracing")]
pub use sampling::{RequestFacts, RequestTrace, RequestTraces};
pub use settings::{
    ClientIdentity, LogFormat, LogSettings, OtelSettings, OtlpProtocol, OtlpTarget, OtlpTls,
    SampledShare, TraceSampler,
};

use std::{sync::mpsc, thread, time::Duration};

pub use opentelemetry::metrics::Meter;
use opentelemetry_sdk::{
    error::{OTelSdkError, OTelSdkResult},
    metrics::Temporality,
};
use uuid::Uuid;

#[cfg(not(feature = "tracing"))]
use self::no_signals as signals;
use self::signals::Signals;
use skriptoteket_core::{
    clock::{Clock, SystemClock},
    metric::Catalogue,
};

/// Why telemetry cannot be set up or delivered.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// An exporter cannot be built: one of the `OTEL_EXPORTER_OTLP_*` variables is invalid.
    #[error("an OTLP exporter cannot be built")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The HTTP client of an exporter cannot be built.
    #[error("the HTTP client of an OTLP exporter cannot be built: {0}")]
    Client(String),
    /// OTLP over gRPC needs a tokio runtime.
    #[error("OTLP over gRPC was started outside a tokio runtime")]
    NoRuntime(#[source] tokio::runtime::TryCurrentError),
    /// The `/metrics` page cannot be set up.
    #[error("the metrics page cannot be set up")]
    Page(#[source] OTelSdkError),
    /// OTLP over gRPC was configured, and the program is built without it.
    #[error(
        "the program is built without OTLP over gRPC; enable the feature `grpc`, or set \
         OTEL_EXPORTER_OTLP_PROTOCOL to http/protobuf"
    )]
    NoGrpc,
    /// The log filter cannot be parsed.
    #[cfg(feature = "tracing")]
    #[error("the log filter cannot be read")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Logs are already set up in this process.
    #[cfg(feature = "tracing")]
    #[error("logs are set up already")]
    Installed(#[from] tracing_subscriber::util::TryInitError),
    /// Some of the recorded telemetry was not exported.
    #[error("not all telemetry was delivered")]
    Undelivered(#[source] OTelSdkError),
}

/// All recording and exporting, to start and shut down as one.
///
/// Synchronous instruments share one provider with all readers. Observed ones are registered once per reader, each on
/// its own provider: in SDK 0.33 a callback that runs for one reader writes into all readers of its provider, so a
/// reader could show a gauge that has already been withdrawn.
///
/// Service-wide metrics have a third set of providers, which report the same instance ID on every replica: see
/// [`Telemetry::service_wide`].
#[derive(Debug)]
pub struct Telemetry {
    metrics: metrics::Providers,
    signals: Signals,
}

impl Telemetry {
    /// Builds the providers of the metrics in `catalogue`. Nothing is sent yet, so the Collector need not be
    /// available.
    ///
    /// # Errors
    ///
    /// [`TelemetryError::NoRuntime`] if a target uses gRPC and there is no tokio runtime;
    /// [`TelemetryError::Exporter`] if a standard variable that the exporter reads itself is invalid.
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
            // The totals of the store, whatever the temporality preference: the SDK's deltas start again after each
            // gap with the whole total, and it does not handle totals that decrease, which happens if a store loses
            // data.
            let service_wide = move || reader(Some(Temporality::Cumulative));
            metrics = metrics.reader(recorded, observed, service_wide);
        }
        Ok(Self {
            metrics: metrics.build(),
            signals: Signals::start(settings, &resource)?,
        })
    }

    /// Creates telemetry that records nothing: instruments can be built and called at almost no cost.
    #[must_use]
    pub fn disabled() -> Self {
        Self {
            metrics: metrics::Builder::new(resource::of_this_process(&[]), &[]).build(),
            signals: Signals::default(),
        }
    }

    /// Returns the meter for synchronous instruments, which record events when they happen.
    #[must_use]
    pub fn meter(&self) -> Meter {
        self.metrics.meter()
    }

    /// Returns the meters for observed instruments: one per reader, none if there is no reader.
    #[must_use]
    pub fn observed_meters(&self) -> Vec<Meter> {
        self.metrics.observed_meters()
    }

    /// Returns the meters for service-wide metrics; `instance` is the instance ID that all replicas share. The first
    /// call sets it.
    ///
    /// # Errors
    ///
    /// See [`Telemetry::start`].
    pub fn service_wide(&self, instance: Uuid) -> Result<ServiceWide, TelemetryError> {
        self.metrics.service_wide(instance)
    }

    /// Returns all metric exporters, to flush them separately from spans and log records. Service-wide metrics are
    /// included once [`Telemetry::service_wide`] has been called.
    #[must_use]
    pub fn all_metrics(&self) -> AllMetrics {
        self.metrics.exported()
    }

    /// Creates the sampler of requests. Create one and clone it: all clones share one allowance for traces of slow
    /// and failed requests.
    #[cfg(feature = "tracing")]
    #[must_use]
    pub fn request_traces(&self, clock: std::sync::Arc<dyn Clock>) -> RequestTraces {
        let signals = &self.signals;
        let spans = signals.spans.as_ref();
        spans.map_or_else(RequestTraces::off, |spans| {
            RequestTraces::new(spans, signals.sampler, clock)
        })
    }

    /// Returns the `/metrics` page. It can be rendered until telemetry is shut down or dropped.
    #[must_use]
    pub fn page(&self) -> MetricsPage {
        self.metrics.rendered()
    }

    /// Exports pending telemetry. Blocks for at most `limit`: in async code, call it on a blocking thread.
    ///
    /// # Errors
    ///
    /// [`TelemetryError::Undelivered`] if an exporter failed or took longer.
    pub fn flush(&self, limit: Duration) -> Result<(), TelemetryError> {
        let mut jobs = self.signals.flushes();
        for provider in self.metrics.all() {
            jobs.push(Box::new(move || provider.force_flush()));
        }
        run_all(jobs, limit)
    }

    /// Exports pending telemetry and shuts down. Blocks for at most `limit`: in async code, call it on a blocking
    /// thread, while the runtime still exists.
    ///
    /// # Errors
    ///
    /// [`TelemetryError::Undelivered`] if an exporter failed or took longer.
    pub fn shutdown(self, limit: Duration) -> Result<(), TelemetryError> {
        let metrics = self.metrics.all();
        let mut jobs = self.signals.shutdowns(limit);
        for provider in metrics {
            jobs.push(Box::new(move || provider.shutdown()));
        }
        run_all(jobs, limit)
    }
}

type Job = Box<dyn FnOnce() -> OTelSdkResult + Send>;

/// Runs every job on its own thread. A job that is not done in time is abandoned.
///
/// The SDK cannot limit these calls itself: meter providers ignore the timeout they are given, and wait 5 s for each
/// of their readers in turn.
fn run_all(jobs: Vec<Job>, limit: Duration) -> Result<(), TelemetryError> {
    let clock = SystemClock::default();
    let (sender, results) = mpsc::channel();
    let mut waiting = 0;
    let mut outcome = Ok(());
    for job in jobs {
        let sender = sender.clone();
        let started = thread::Builder::new()
            .name(String::from("telemetry-flush"))
            // The receiver is dropped once the limit has passed; the result is then not needed.
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
