//! OTLP: the exporter of metrics, and what the exporters of all signals have in common.
//!
//! Headers and compression come from the standard `OTEL_EXPORTER_OTLP_*` variables, which the exporters read
//! themselves; the configuration has checked them. All other settings are passed to them here.

use crate::{OtlpProtocol, OtlpTarget, OtlpTls};
use std::{thread, time::Duration};

use opentelemetry_otlp::{MetricExporter, Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::metrics::{PeriodicReader, Temporality};
use reqwest::blocking::Client;

#[cfg(feature = "grpc")]
use super::grpc;
use super::{
    TelemetryError,
    export::{Destination, HttpSender, Reported, chain},
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
        #[cfg(feature = "grpc")]
        OtlpProtocol::Grpc => grpc::exporter(builder.with_tonic(), target)?.build()?,
        #[cfg(not(feature = "grpc"))]
        OtlpProtocol::Grpc => return Err(TelemetryError::NoGrpc),
        OtlpProtocol::HttpProtobuf => over_http(builder.with_http(), target, &to)?.build()?,
    };
    Ok(PeriodicReader::builder(Reported::new(exporter, to))
        .with_interval(interval)
        .build())
}

/// Returns where a signal is sent, for log messages.
pub(super) fn destination(signal: &'static str, target: &OtlpTarget) -> Destination {
    Destination {
        signal,
        endpoint: target.endpoint.origin().ascii_serialization(),
        cause: super::export::Cause::default(),
    }
}

/// Applies the settings of a target to an exporter over HTTP.
///
/// # Errors
///
/// The client cannot be built.
pub(super) fn over_http<B: WithExportConfig + WithHttpConfig>(
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
