//! Checks the values that an application gives to the builder.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use skriptoteket_core::network::is_loopback;
use skriptoteket_redis::RedisSettings;
use skriptoteket_sessions::{LedgerRepository, MemoryLedger};
use skriptoteket_store::LedgerFile;
use url::Url;

use super::{BuildError, key_file};

/// Where the cookie key comes from.
pub(super) enum KeySource {
    File(PathBuf),
    Key(SecretString),
}

pub(super) fn public_url(text: Option<&str>) -> Result<Url, BuildError> {
    let text = text.ok_or(BuildError::Missing("public_url"))?;
    let url: Url = text.parse().map_err(|_| BuildError::PublicUrl)?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        _ => Err(BuildError::PublicUrl),
    }
}

pub(super) fn networks(texts: &[String]) -> Result<Vec<IpNet>, BuildError> {
    let parse = |text: &String| {
        let network = text.parse::<IpNet>();
        network.or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
    };
    let networks: Result<Vec<IpNet>, _> = texts.iter().map(parse).collect();
    networks.map_err(|_| BuildError::TrustedProxies)
}

/// Returns the cookie key, and where the totals of sessions are kept.
pub(super) fn key(
    source: Option<KeySource>,
    redis: &RedisSettings,
    timeout: Duration,
) -> Result<(SecretString, Arc<dyn LedgerRepository>), BuildError> {
    match source {
        None => Err(BuildError::Missing("cookie_key_file")),
        Some(KeySource::File(path)) => {
            let key = key_file::read_or_create(&path)?;
            Ok((key, Arc::new(ledger(&path, redis, timeout))))
        }
        Some(KeySource::Key(key)) if key.expose_secret().len() < key_file::LEAST_KEY_BYTES => {
            Err(BuildError::Key)
        }
        Some(KeySource::Key(key)) => Ok((key, Arc::new(MemoryLedger::default()))),
    }
}

fn ledger(path: &Path, redis: &RedisSettings, timeout: Duration) -> LedgerFile {
    LedgerFile::new(path, redis.location(), timeout)
}
