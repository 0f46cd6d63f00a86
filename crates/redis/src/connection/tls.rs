//! TLS to Redis, with the feature `tls`.

use std::{error::Error, fs, io, path::Path, sync::Arc};

use redis::{Client, ConnectionInfo, RedisError, RedisResult, TlsCertificates};
use rustls::AlertDescription;

use super::fault::{RedisFault, TlsError};

/// Prepares TLS, and returns the certificate authorities in the file, if one is given.
///
/// # Errors
///
/// The file cannot be used.
pub(super) fn prepare(authorities: Option<&Path>) -> Result<Option<Vec<u8>>, RedisFault> {
    install_provider();
    let Some(path) = authorities else {
        return Ok(None);
    };
    let pem = fs::read(path).map_err(|source| RedisFault::Authorities {
        path: path.to_owned(),
        source: Arc::new(source),
    })?;
    let begins = b"-----BEGIN CERTIFICATE-----";
    if !pem.windows(begins.len()).any(|part| part == begins) {
        return Err(RedisFault::NoAuthority {
            path: path.to_owned(),
        });
    }
    Ok(Some(pem))
}

/// Installs the crypto provider of the process. An existing provider is as good.
pub(super) fn install_provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Creates a client that trusts only these certificate authorities.
pub(super) fn client(info: ConnectionInfo, authorities: &[u8]) -> RedisResult<Client> {
    Client::build_with_tls(
        info,
        TlsCertificates {
            client_tls: None,
            root_cert: Some(authorities.to_owned()),
        },
    )
}

/// Returns the fault that a TLS error stands for.
pub(super) fn fault(place: &str, error: &TlsError) -> Option<RedisFault> {
    let place = place.to_owned();
    match error {
        TlsError::InvalidCertificate(_) => Some(RedisFault::Certificate {
            place,
            source: error.clone(),
        }),
        TlsError::AlertReceived(
            AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure,
        ) => Some(RedisFault::ClientCertificate { place }),
        _ => None,
    }
}

/// Returns whether a server with this error speaks TLS.
pub(super) const fn is_spoken(error: &TlsError) -> bool {
    matches!(
        error,
        TlsError::InvalidCertificate(_) | TlsError::AlertReceived(_)
    )
}

/// Extracts the TLS error from an error of the client, which wraps it twice.
pub(super) fn error_of(error: &RedisError) -> Option<&TlsError> {
    let inner = error
        .source()?
        .downcast_ref::<Arc<dyn Error + Send + Sync>>()?;
    inner.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()
}
