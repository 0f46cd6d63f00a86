//! Why an application cannot start.

use skriptoteket_config::Faults;
use skriptoteket_login::accounts::password::HashingError;
use skriptoteket_redis::RedisFault;

use super::key_file::KeyFileError;

/// Why [`Builder::start`](super::Builder::start) failed. No text contains a secret.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A value that is required was not given.
    #[error("{0} was not given: call Builder::{0} before start")]
    Missing(&'static str),
    /// A value is out of range.
    #[error("{0}: expected {1}")]
    Value(&'static str, String),
    /// The Redis URL cannot be read.
    #[error("redis: {0}")]
    RedisUrl(String),
    /// The URL of the application cannot be used.
    #[error("public_url: expected https://HOST[:PORT], or http:// with a host on loopback")]
    PublicUrl,
    /// A trusted proxy is not a network.
    #[error("trusted_proxies: expected addresses and networks, for example 10.0.0.0/8")]
    TrustedProxies,
    /// The file of the cookie key cannot be used.
    #[error("cookie_key_file")]
    KeyFile(#[from] KeyFileError),
    /// The cookie key is too short.
    #[error("cookie_key: expected a random text of at least 32 bytes")]
    Key,
    /// Redis or its configuration does not meet the requirements.
    #[error("redis")]
    Redis(#[from] RedisFault),
    /// The threads of the background tasks cannot be started.
    #[error("the background threads cannot be started")]
    Runtime(#[source] std::io::Error),
    /// The parameters of password hashing are invalid.
    #[error("hashing")]
    Hashing(#[from] HashingError),
    /// A standard variable of OpenTelemetry is invalid.
    #[error("{0}")]
    Environment(Faults),
    /// Telemetry cannot be set up.
    #[cfg(feature = "telemetry")]
    #[error("telemetry")]
    Telemetry(#[from] skriptoteket_telemetry::TelemetryError),
    /// The issuer of access tokens cannot be used.
    #[cfg(feature = "tokens")]
    #[error("tokens_of")]
    Tokens(#[from] skriptoteket_resource_server::ResourceServerError),
}
