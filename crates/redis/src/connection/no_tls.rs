//! Stands for TLS without the feature `tls`: no connection uses it.

use std::path::Path;

use redis::{Client, ConnectionInfo, RedisError, RedisResult};

use super::fault::{RedisFault, TlsError};

/// Returns the fault that TLS is not compiled in.
pub(super) const fn prepare(_: Option<&Path>) -> Result<Option<Vec<u8>>, RedisFault> {
    Err(RedisFault::NoTls)
}

/// Does nothing.
pub(super) const fn install_provider() {}

/// Creates a client without TLS.
pub(super) fn client(info: ConnectionInfo, _: &[u8]) -> RedisResult<Client> {
    Client::open(info)
}

/// Returns no fault.
pub(super) const fn fault(_: &str, error: &TlsError) -> Option<RedisFault> {
    match *error {}
}

/// Never called.
pub(super) const fn is_spoken(error: &TlsError) -> bool {
    match *error {}
}

/// Returns no error.
pub(super) const fn error_of(_: &RedisError) -> Option<&TlsError> {
    None
}
