//! OTLP: the exporters of all three signals.
//!
//! Headers, timeout and compression come from the standard `OTEL_EXPORTER_OTLP_*` variables, which the exporters read
//! themselves.

use std::time::Duration;

use opentelemetry_otlp::{
    LogExporter, MetricExporter, Protocol, SpanExporter, WithExportConfig, WithTonicConfig,
    tonic_types::transport::ClientTlsConfig,
};
use opentelemetry_sdk::{
    Resource,
    logs::SdkLoggerProvider,
    metrics::{PeriodicReader, Temporality},
    trace::SdkTracerProvider,
};
use tokio::runtime::Handle;

use super::TelemetryError;
use crate::config::{OtlpProtocol, OtlpTarget};

/// A reader that sends metrics every `interval`, on a thread of its own. Without a `temporality` it is what the standard
/// variable says.
pub(super) fn metric_reader(
    target: &OtlpTarget,
    interval: Duration,
    temporality: Option<Temporality>,
) -> Result<PeriodicReader<MetricExporter>, TelemetryError> {
    let mut builder = MetricExporter::builder();
    if let Some(temporality) = temporality {
        builder = builder.with_temporality(temporality);
    }
    let exporter = match target.protocol {
        OtlpProtocol::Grpc => over_grpc(builder.with_tonic(), target)?.build()?,
        OtlpProtocol::HttpProtobuf => over_http(builder.with_http(), target).build()?,
    };
    Ok(PeriodicReader::builder(exporter)
        .with_interval(interval)
        .build())
}

/// A provider that sends spans in batches, on a thread of its own. What does not fit its queue is dropped.
pub(super) fn tracer_provider(
    target: &OtlpTarget,
    resource: Resource,
) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = match target.protocol {
        OtlpProtocol::Grpc => over_grpc(SpanExporter::builder().with_tonic(), target)?.build()?,
        OtlpProtocol::HttpProtobuf => {
            over_http(SpanExporter::builder().with_http(), target).build()?
        }
    };
    Ok(SdkTracerProvider::builder()
        .with_resource(resource)
        .with_batch_exporter(exporter)
        .build())
}

/// A provider that sends log records in batches, on a thread of its own. What does not fit its queue is dropped.
pub(super) fn logger_provider(
    target: &OtlpTarget,
    resource: Resource,
) -> Result<SdkLoggerProvider, TelemetryError> {
    let exporter = match target.protocol {
        OtlpProtocol::Grpc => over_grpc(LogExporter::builder().with_tonic(), target)?.build()?,
        OtlpProtocol::HttpProtobuf => {
            over_http(LogExporter::builder().with_http(), target).build()?
        }
    };
    Ok(SdkLoggerProvider::builder()
        .with_resource(resource)
        .with_batch_exporter(exporter)
        .build())
}

fn over_grpc<B: WithExportConfig + WithTonicConfig>(
    builder: B,
    target: &OtlpTarget,
) -> Result<B, TelemetryError> {
    // The channel is lazy but spawns its task at once, and panics where it cannot.
    Handle::try_current().map_err(TelemetryError::NoRuntime)?;
    let builder = builder.with_endpoint(target.endpoint.as_str());
    Ok(if target.endpoint.scheme() == "https" {
        // Without this the exporter trusts no certificate authority at all.
        builder.with_tls_config(ClientTlsConfig::new().with_enabled_roots())
    } else {
        builder
    })
}

fn over_http<B: WithExportConfig>(builder: B, target: &OtlpTarget) -> B {
    // The HTTP client is built without a provider of its own and asks for the process's, even for plain http. Where
    // there is one already it is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    builder
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(target.endpoint.as_str())
}
