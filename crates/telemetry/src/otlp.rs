//! OTLP: the exporters of all three signals.
//!
//! Headers and compression come from the standard `OTEL_EXPORTER_OTLP_*` variables, which the exporters read
//! themselves; the configuration has checked them. All other settings are passed to them here.

use crate::{OtlpProtocol, OtlpTarget, OtlpTls, TraceSampler};
use std::{thread, time::Duration};

use opentelemetry_otlp::{
    LogExporter, MetricExporter, Protocol, SpanExporter, WithExportConfig, WithHttpConfig,
    WithTonicConfig,
    tonic_types::transport::{Certificate, ClientTlsConfig, Identity},
};
use opentelemetry_sdk::{
    Resource,
    logs::SdkLoggerProvider,
    metrics::{PeriodicReader, Temporality},
    trace::SdkTracerProvider,
};
use reqwest::blocking::Client;
use tokio::runtime::Handle;

use super::{
    TelemetryError,
    export::{Destination, HttpSender, Reported, chain},
    sampling::Decided,
};

/// Creates a reader that exports metrics every `interval`, on its own thread. Without a `temporality`, the standard
/// variable decides.
pub(super) fn metric_reader(
    target: &OtlpTarget,
    interval: Duration,
    temporality: Option<Temporality>,
) -> Result<PeriodicReader<Reported<MetricExporter>>, TelemetryError> {
    let to = destination("metrics", target);
    let mut builder = MetricExporter::builder();
    if let Some(temporality) = temporality {
        builder = builder.with_temporality(temporality);
    }
    let exporter = match target.protocol {
        OtlpProtocol::Grpc => over_grpc(builder.with_tonic(), target)?.build()?,
        OtlpProtocol::HttpProtobuf => over_http(builder.with_http(), target, &to)?.build()?,
    };
    Ok(PeriodicReader::builder(Reported::new(exporter, to))
        .with_interval(interval)
        .build())
}

/// Creates a provider that exports spans in batches, on its own thread. Spans that exceed its queue are dropped.
pub(super) fn tracer_provider(
    target: &OtlpTarget,
    sampler: TraceSampler,
    resource: Resource,
) -> Result<SdkTracerProvider, TelemetryError> {
    let to = destination("traces", target);
    let builder = SpanExporter::builder();
    let exporter = match target.protocol {
        OtlpProtocol::Grpc => over_grpc(builder.with_tonic(), target)?.build()?,
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
pub(super) fn logger_provider(
    target: &OtlpTarget,
    resource: Resource,
) -> Result<SdkLoggerProvider, TelemetryError> {
    let to = destination("logs", target);
    let builder = LogExporter::builder();
    let exporter = match target.protocol {
        OtlpProtocol::Grpc => over_grpc(builder.with_tonic(), target)?.build()?,
        OtlpProtocol::HttpProtobuf => over_http(builder.with_http(), target, &to)?.build()?,
    };
    Ok(SdkLoggerProvider::builder()
        .with_resource(resource)
        .with_batch_exporter(Reported::new(exporter, to))
        .build())
}

fn destination(signal: &'static str, target: &OtlpTarget) -> Destination {
    Destination {
        signal,
        endpoint: target.endpoint.origin().ascii_serialization(),
        cause: super::export::Cause::default(),
    }
}

fn over_grpc<B: WithExportConfig + WithTonicConfig>(
    builder: B,
    target: &OtlpTarget,
) -> Result<B, TelemetryError> {
    // The channel is lazy but spawns its task at once, and panics without a runtime.
    Handle::try_current().map_err(TelemetryError::NoRuntime)?;
    let builder = builder
        .with_endpoint(target.endpoint.as_str())
        .with_timeout(target.timeout);
    if target.endpoint.scheme() != "https" {
        return Ok(builder);
    }
    let mut tls = ClientTlsConfig::new();
    tls = match &target.tls.authorities {
        Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
        // Without this the exporter trusts no certificate authority at all.
        None => tls.with_enabled_roots(),
    };
    if let Some(own) = &target.tls.identity {
        tls = tls.identity(Identity::from_pem(&own.certificate, &*own.key));
    }
    Ok(builder.with_tls_config(tls))
}

fn over_http<B: WithExportConfig + WithHttpConfig>(
    builder: B,
    target: &OtlpTarget,
    to: &Destination,
) -> Result<B, TelemetryError> {
    let sender = HttpSender {
        client: http_client(target)?,
        cause: to.cause.clone(),
    };
    Ok(builder
        .with_http_client(sender)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(target.endpoint.as_str())
        .with_timeout(target.timeout))
}

/// Builds a client as the exporter would, with the certificates of the target. It uses the proxies from the
/// environment.
fn http_client(target: &OtlpTarget) -> Result<Client, TelemetryError> {
    // The client is built without its own crypto provider and uses the process's, even for plain http. If one is
    // already installed, it serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (timeout, tls) = (target.timeout, target.tls.clone());
    let build = move || -> reqwest::Result<Client> {
        let mut builder = Client::builder().timeout(timeout);
        let OtlpTls {
            authorities,
            identity,
        } = tls;
        if let Some(pem) = authorities {
            let trusted = reqwest::Certificate::from_pem_bundle(pem.as_bytes())?;
            builder = builder.tls_certs_only(trusted);
        }
        if let Some(own) = identity {
            let pem = [own.certificate.as_bytes(), own.key.as_bytes()].concat();
            builder = builder.identity(reqwest::Identity::from_pem(&pem)?);
        }
        builder.build()
    };
    // It must not be built on a thread of an asynchronous runtime: it starts its own and blocks on it.
    let client = thread::Builder::new()
        .name(String::from("telemetry-client"))
        .spawn(build)
        .map_err(|error| TelemetryError::Client(error.to_string()))?
        .join()
        .map_err(|_| TelemetryError::Client(String::from("the thread that builds it panicked")))?;
    client.map_err(|error| TelemetryError::Client(chain(&error)))
}
