//! Logs why an export failed, and to which endpoint.

use std::{
    error::Error,
    fmt::Write,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    logs::{LogBatch, LogExporter},
    metrics::{Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
    trace::{SpanData, SpanExporter},
};

/// The target of log messages about failed exports. It is never exported.
pub(super) const TARGET: &str = "skriptoteket::telemetry::export";

/// The destination of a signal's exports. The path is not logged: `host:port` is what all exports to one endpoint
/// have in common.
#[derive(Clone, Debug)]
pub(super) struct Destination {
    /// `metrics`, `traces` or `logs`.
    pub(super) signal: &'static str,
    /// The endpoint, without credentials and query.
    pub(super) endpoint: String,
    /// Why the last request got no response.
    pub(super) cause: Cause,
}

/// Why a request got no response. Cheap to clone; all clones share one value.
#[derive(Clone, Debug, Default)]
pub(super) struct Cause(Arc<Mutex<Option<String>>>);

impl Cause {
    fn set(&self, cause: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = cause;
    }

    fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// An exporter whose failures are logged, with signal, endpoint and cause.
///
/// The SDK logs "network error" for every failure to get a response, and does not log the endpoint.
#[derive(Debug)]
pub(super) struct Reported<E> {
    exporter: E,
    to: Destination,
}

impl<E> Reported<E> {
    pub(super) const fn new(exporter: E, to: Destination) -> Self {
        Self { exporter, to }
    }

    fn reported(&self, result: OTelSdkResult) -> OTelSdkResult {
        let error = match result {
            Ok(()) | Err(OTelSdkError::AlreadyShutdown) => return result,
            Err(error) => error,
        };
        let Destination {
            signal,
            endpoint,
            cause,
        } = &self.to;
        let why = cause.take().unwrap_or_else(|| match &error {
            OTelSdkError::InternalFailure(why) => why.clone(),
            other => other.to_string(),
        });
        tracing::warn!(
            target: TARGET,
            signal,
            endpoint,
            error = why,
            "telemetry cannot be exported"
        );
        Err(match error {
            OTelSdkError::InternalFailure(_) => {
                OTelSdkError::InternalFailure(format!("{signal} to {endpoint}: {why}"))
            }
            other => other,
        })
    }
}

impl<E: PushMetricExporter> PushMetricExporter for Reported<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        self.reported(self.exporter.export(metrics).await)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}

impl<E: SpanExporter> SpanExporter for Reported<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.reported(self.exporter.export(batch).await)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E: LogExporter> LogExporter for Reported<E> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        self.reported(self.exporter.export(batch).await)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// Sends OTLP over HTTP and records why a request got no response.
#[derive(Debug)]
pub(super) struct HttpSender {
    pub(super) client: reqwest::blocking::Client,
    pub(super) cause: Cause,
}

#[async_trait]
impl HttpClient for HttpSender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.client.send_bytes(request).await;
        let answer = answer.map_err(|error| match error.downcast::<reqwest::Error>() {
            // Some endpoints take their key in the query.
            Ok(error) => HttpError::from(error.without_url()),
            Err(error) => error,
        });
        let cause = answer.as_ref().err();
        self.cause.set(cause.map(|error| chain(error.as_ref())));
        answer
    }
}

/// Formats an error and its causes in one line.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        // Writing to a string does not fail.
        let _ = write!(text, ": {cause}");
        next = cause.source();
    }
    text
}
