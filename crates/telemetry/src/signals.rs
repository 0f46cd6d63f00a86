//! Spans and log records: their providers, if they are exported. Needs the feature `tracing`.

use std::time::Duration;

use opentelemetry_otlp::{LogExporter, SpanExporter};
use opentelemetry_sdk::{Resource, logs::SdkLoggerProvider, trace::SdkTracerProvider};

#[cfg(feature = "grpc")]
use super::grpc;
use super::{
    Job, OtelSettings, OtlpProtocol, OtlpTarget, TelemetryError, TraceSampler,
    export::Reported,
    otlp::{destination, over_http},
    sampling::Decided,
};

/// The providers of spans and of log records.
#[derive(Debug, Default)]
pub(super) struct Signals {
    pub(super) spans: Option<SdkTracerProvider>,
    pub(super) logs: Option<SdkLoggerProvider>,
    pub(super) sampler: TraceSampler,
}

impl Signals {
    /// Builds the providers of the signals that are exported.
    pub(super) fn start(
        settings: &OtelSettings,
        resource: &Resource,
    ) -> Result<Self, TelemetryError> {
        let spans = settings.traces.as_ref();
        let spans = spans.map(|it| tracer_provider(it, settings.sampler, resource.clone()));
        let logs = settings.logs.as_ref();
        let logs = logs.map(|it| logger_provider(it, resource.clone()));
        Ok(Self {
            spans: spans.transpose()?,
            logs: logs.transpose()?,
            sampler: settings.sampler,
        })
    }

    /// Returns what exports the pending spans and records.
    pub(super) fn flushes(&self) -> Vec<Job> {
        let mut jobs: Vec<Job> = Vec::new();
        if let Some(provider) = self.spans.clone() {
            jobs.push(Box::new(move || provider.force_flush()));
        }
        if let Some(provider) = self.logs.clone() {
            jobs.push(Box::new(move || provider.force_flush()));
        }
        jobs
    }

    /// Returns what exports the pending spans and records and shuts down.
    pub(super) fn shutdowns(self, limit: Duration) -> Vec<Job> {
        let mut jobs: Vec<Job> = Vec::new();
        if let Some(provider) = self.spans {
            jobs.push(Box::new(move || provider.shutdown_with_timeout(limit)));
        }
        if let Some(provider) = self.logs {
            jobs.push(Box::new(move || provider.shutdown_with_timeout(limit)));
        }
        jobs
    }
}

/// Creates a provider that exports spans in batches, on its own thread. Spans that exceed its queue are dropped.
fn tracer_provider(
    target: &OtlpTarget,
    sampler: TraceSampler,
    resource: Resource,
) -> Result<SdkTracerProvider, TelemetryError> {
    let to = destination("traces", target);
    let builder = SpanExporter::builder();
    let exporter = match target.protocol {
        #[cfg(feature = "grpc")]
        OtlpProtocol::Grpc => grpc::exporter(builder.with_tonic(), target)?.build()?,
        #[cfg(not(feature = "grpc"))]
        OtlpProtocol::Grpc => return Err(TelemetryError::NoGrpc),
        OtlpProtocol::HttpProtobuf => over_http(builder.with_http(), target, &to)?.build()?,
    };
    Ok(SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(Decided::new(sampler))
        .with_batch_exporter(Reported::new(exporter, to))
        .build())
}

/// Creates a provider that exports log records in batches, on its own thread. Records that exceed its queue are
/// dropped.
fn logger_provider(
    target: &OtlpTarget,
    resource: Resource,
) -> Result<SdkLoggerProvider, TelemetryError> {
    let to = destination("logs", target);
    let builder = LogExporter::builder();
    let exporter = match target.protocol {
        #[cfg(feature = "grpc")]
        OtlpProtocol::Grpc => grpc::exporter(builder.with_tonic(), target)?.build()?,
        #[cfg(not(feature = "grpc"))]
        OtlpProtocol::Grpc => return Err(TelemetryError::NoGrpc),
        OtlpProtocol::HttpProtobuf => over_http(builder.with_http(), target, &to)?.build()?,
    };
    Ok(SdkLoggerProvider::builder()
        .with_resource(resource)
        .with_batch_exporter(Reported::new(exporter, to))
        .build())
}
