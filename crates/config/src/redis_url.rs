//! The settings of Redis: the URL, the forms of the other settings, and their defaults.
//!
//! No part of a URL is ever quoted in a fault: if a password is not written correctly, any part of the text may
//! belong to it.

use std::{net::Ipv6Addr, time::Duration};

use secrecy::SecretString;
use skriptoteket_redis::{RedisAddress, RedisSettings, RedisTopology};

use crate::{
    faults::Problem,
    forms::{Form, Span, Switch},
    variables::edge,
};

/// Describes a valid URL.
pub const EXPECTED: &str = "redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], \
     redis+sentinel://[USER:PASSWORD@]HOST[:PORT],…/MASTER[/DATABASE] \
     or redis+cluster://[USER:PASSWORD@]HOST[:PORT],…, or the same with rediss for TLS";

/// The prefix of keys if none is given.
pub const DEFAULT_KEY_PREFIX: &str = "skriptoteket";

/// The timeout of a new connection if none is given, in the form [`CONNECT_TIMEOUT`].
pub const DEFAULT_CONNECT_TIMEOUT: &str = "1s";

/// Whether a server may evict keys if nothing is given, in the form [`Switch`].
pub const DEFAULT_ALLOW_EVICTION: &str = "false";

/// The timeout of a new connection.
pub const CONNECT_TIMEOUT: Span = Span {
    least: Duration::from_millis(10),
    most: Duration::from_secs(30),
};

/// Returns the settings of a connection to the servers in a URL, as the server of Skriptoteket has them if only
/// `redis_url` is set.
///
/// # Errors
///
/// [`Problem`] if the text is not a URL of Redis, without the text.
pub fn redis_settings(url: &str) -> Result<RedisSettings, Problem> {
    if let Some(edge) = edge(url) {
        return Err(Problem::Edge(edge));
    }
    let RedisUrl {
        topology,
        tls,
        username,
        password,
    } = RedisUrl::read(url)?;
    check_login(username.as_deref(), password.as_ref(), "")?;
    Ok(RedisSettings {
        topology,
        tls,
        tls_ca: None,
        username,
        password,
        sentinel_password: None,
        key_prefix: KeyPrefix.read(DEFAULT_KEY_PREFIX)?,
        connect_timeout: CONNECT_TIMEOUT.read(DEFAULT_CONNECT_TIMEOUT)?,
        allow_eviction: Switch.read(DEFAULT_ALLOW_EVICTION)?,
    })
}

/// Checks that there is a password if there is a user name. `alternatives` follows the description of what is
/// missing: other places for the password than the URL.
///
/// # Errors
///
/// [`Problem`] if there is a user name alone. Redis has no such login; the name would be ignored and the default user
/// be used.
pub fn check_login(
    username: Option<&str>,
    password: Option<&SecretString>,
    alternatives: &str,
) -> Result<(), Problem> {
    if username.is_some() && password.is_none() {
        return Err(Problem::Expected(format!(
            "a password with the user name: USER:PASSWORD@ here{alternatives}"
        )));
    }
    Ok(())
}

/// The default ports of a Redis server and of a Sentinel.
const PORT: u16 = 6_379;
const SENTINEL_PORT: u16 = 26_379;

/// The parts of a URL.
#[derive(Clone, Debug)]
pub struct RedisUrl {
    /// The servers.
    pub topology: RedisTopology,
    /// True for the schemes with TLS.
    pub tls: bool,
    /// The user, percent-decoded.
    pub username: Option<String>,
    /// The password, percent-decoded.
    pub password: Option<SecretString>,
}

impl RedisUrl {
    /// Parses a URL.
    ///
    /// # Errors
    ///
    /// [`Problem`] if the text is not a URL of Redis, without the text.
    pub fn read(text: &str) -> Result<Self, Problem> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(expected(EXPECTED));
        };
        let (tls, kind) = match scheme.to_ascii_lowercase().as_str() {
            "redis" => (false, Kind::Standalone),
            "rediss" => (true, Kind::Standalone),
            "redis+sentinel" => (false, Kind::Sentinel),
            "rediss+sentinel" => (true, Kind::Sentinel),
            "redis+cluster" => (false, Kind::Cluster),
            "rediss+cluster" => (true, Kind::Cluster),
            _ => return Err(expected(EXPECTED)),
        };
        if rest.contains(['?', '#']) {
            return Err(expected(
                "no query and no fragment; in a user name or password ? is written %3F and # is written %23",
            ));
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, servers) = match authority.split_once('@') {
            Some((_, rest)) if rest.contains('@') => {
                return Err(expected(
                    "one @; in a user name or password it is written %40",
                ));
            }
            Some((login, servers)) => (login, servers),
            None => ("", authority),
        };
        // A slash in the password would end the part that is searched for the @.
        if path.contains('@') {
            return Err(expected(
                "no / before the @; in a user name or password it is written %2F",
            ));
        }
        let (username, password) = login.split_once(':').unwrap_or((login, ""));
        let (username, password) = (decoded(username)?, decoded(password)?);
        if let Some(name) = &username
            && !is_username(name)
        {
            return Err(expected("a user name without spaces"));
        }
        Ok(Self {
            topology: kind.topology(servers, path)?,
            tls,
            username,
            password: password.map(SecretString::from),
        })
    }
}

/// How the servers are found.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Standalone,
    Sentinel,
    Cluster,
}

impl Kind {
    fn topology(self, servers: &str, path: &str) -> Result<RedisTopology, Problem> {
        let port = match self {
            Self::Sentinel => SENTINEL_PORT,
            Self::Standalone | Self::Cluster => PORT,
        };
        let servers: Result<Vec<_>, _> =
            servers.split(',').map(|item| address(item, port)).collect();
        let mut servers = servers?;
        match self {
            Self::Standalone => {
                let database = database(path)?;
                match (servers.pop(), servers.is_empty()) {
                    (Some(server), true) => Ok(RedisTopology::Standalone { server, database }),
                    _ => Err(expected(
                        "one server; several are redis+sentinel:// or redis+cluster://",
                    )),
                }
            }
            Self::Sentinel => {
                let (master, rest) = path.split_once('/').unwrap_or((path, ""));
                if master.is_empty() || !master.bytes().all(is_plain) {
                    return Err(expected(
                        "the name of the master (as configured in the Sentinels) after the servers, as in redis+sentinel://HOST/MASTER",
                    ));
                }
                Ok(RedisTopology::Sentinel {
                    sentinels: servers,
                    master: master.to_owned(),
                    database: database(rest)?,
                })
            }
            Self::Cluster if path.is_empty() => Ok(RedisTopology::Cluster { nodes: servers }),
            Self::Cluster => Err(expected(
                "nothing after the servers: a Cluster has one database",
            )),
        }
    }
}

fn address(text: &str, default_port: u16) -> Result<RedisAddress, Problem> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or_else(ipv6)?;
            host.parse::<Ipv6Addr>().map_err(|_| ipv6())?;
            let port = match port.strip_prefix(':') {
                None if port.is_empty() => None,
                None => return Err(ipv6()),
                port => port,
            };
            (host, port)
        }
        None => match text.split_once(':') {
            Some((_, port)) if port.contains(':') => return Err(ipv6()),
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err(expected("a host, also after the @ and between commas"));
    }
    if !text.starts_with('[') && !host.bytes().all(is_plain) {
        return Err(expected(
            "hosts of letters, digits, dots and hyphens; in a user name or password / is written %2F",
        ));
    }
    let port = match port {
        None => default_port,
        Some(port) => number(port).filter(|port| *port > 0).ok_or_else(|| {
            expected(
                "ports from 1 to 65535; in a user name or password / is written %2F and @ is written %40",
            )
        })?,
    };
    Ok(RedisAddress {
        host: host.to_owned(),
        port,
    })
}

fn database(text: &str) -> Result<u32, Problem> {
    if text.is_empty() {
        return Ok(0);
    }
    number(text).ok_or_else(|| expected("a database that is a whole number, as in redis://HOST/0"))
}

/// Digits only: `parse` would accept a plus sign too.
fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Returns the percent-decoded text; `None` if it is empty.
fn decoded(text: &str) -> Result<Option<String>, Problem> {
    let wrong = || {
        expected(
            "a user name and password in UTF-8 in which % is written %25, and two hexadecimal digits follow every other %",
        )
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c == '%' {
            let mut digit = || rest.next().and_then(|it| it.to_digit(16));
            let byte = digit().zip(digit()).map(|(high, low)| 16 * high + low);
            bytes.push(
                byte.and_then(|it| u8::try_from(it).ok())
                    .ok_or_else(wrong)?,
            );
        } else {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// Returns true for the bytes allowed in the name of a host or a master and in a prefix.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

/// Redis rejects user names with other characters.
fn is_username(name: &str) -> bool {
    !name.contains(|c: char| c.is_whitespace() || c.is_control())
}

fn ipv6() -> Problem {
    expected("IPv6 addresses in brackets, as in redis://[::1]:6379")
}

fn expected(what: &str) -> Problem {
    Problem::Expected(what.into())
}

/// The name of a Redis user.
#[derive(Clone, Copy, Debug)]
pub struct RedisUser;

impl Form for RedisUser {
    type Value = String;

    fn expected(&self) -> String {
        "a user name without spaces".into()
    }

    fn read(&self, text: &str) -> Result<String, Problem> {
        if text.is_empty() || !is_username(text) {
            return Err(self.unexpected());
        }
        Ok(text.to_owned())
    }
}

/// The prefix of keys.
#[derive(Clone, Copy, Debug)]
pub struct KeyPrefix;

impl Form for KeyPrefix {
    type Value = String;

    fn expected(&self) -> String {
        "1 to 32 letters, digits, dots, hyphens and underscores".into()
    }

    fn read(&self, text: &str) -> Result<String, Problem> {
        if !(1..=32).contains(&text.len()) || !text.bytes().all(is_plain) {
            return Err(self.unexpected());
        }
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests;
