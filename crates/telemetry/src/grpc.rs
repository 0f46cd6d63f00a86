//! OTLP over gRPC.

use opentelemetry_otlp::{
    WithExportConfig, WithTonicConfig,
    tonic_types::transport::{Certificate, ClientTlsConfig, Identity},
};
use tokio::runtime::Handle;

use super::{OtlpTarget, TelemetryError};

/// Applies the settings of a target to an exporter over gRPC.
///
/// # Errors
///
/// There is no tokio runtime.
pub(super) fn exporter<B: WithExportConfig + WithTonicConfig>(
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
