//! Configuration: every setting, its unit and its default.
//!
//! Settings come from a TOML file and from the environment, which wins. [`load`] reads both, checks everything and
//! reports all faults at once.
//!
//! | file | what is in it |
//! |---|---|
//! | `settings` | the table of all settings: name, range, default, help |
//! | `forms` | how values are written: durations, networks, … |
//! | `environment` | the process environment as a value |
//! | `names`, `nearest` | what settings are called, and which name may have been meant |
//! | `reader` | the two sources, read into typed values |
//! | `assembly` | the whole configuration, and the checks of settings against each other |
//! | `sharing` | the Redis settings, put together from the URL and those beside it |
//! | `redis_location` | where sessions are kept, in words |
//! | `otel` | the standard `OTEL_…` variables |
//! | `render` | `config show` and `config init` |
//! | `faults` | what is wrong, where, and what would be right |

mod assembly;
mod connections;
mod environment;
mod faults;
mod forms;
mod names;
mod nearest;
mod otel;
mod reader;
mod redis_location;
mod render;
mod settings;
mod sharing;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;
use secrecy::SecretString;
use url::Url;

pub use connections::ConnectionSettings;
pub use environment::Environment;
pub use faults::{Fault, Faults};
pub use forms::{InvalidRate, Rate, is_loopback};
pub use otel::{
    ClientIdentity, OTEL_VARIABLES, OTEL_WITHOUT_EFFECT, OtelSettings, OtelVariable, OtlpProtocol,
    OtlpTarget, OtlpTls, SampledShare, TraceSampler,
};
pub use render::template;

use reader::Reader;

/// Reads and checks the whole configuration.
///
/// `file` is the file to read; without one it is that of `SKRIPTOTEKET_CONFIG`, and without that `skriptoteket.toml` in
/// the working directory if it is there (see [`Environment::from_process`]). The environment wins over the file.
/// Relative paths are relative to the working directory.
///
/// # Errors
///
/// Everything that is wrong, at once. No secret is in it.
pub fn load(file: Option<&Path>, environment: &Environment) -> Result<Config, Faults> {
    read(file, environment).map(|(config, _)| config)
}

/// The configuration in force as TOML: every setting with its value and where that comes from. Of secrets it says only
/// whether they are set.
///
/// # Errors
///
/// As [`load`].
pub fn show(file: Option<&Path>, environment: &Environment) -> Result<String, Faults> {
    read(file, environment).map(|(config, effective)| render::effective(&effective, &config.otel))
}

fn read(
    file: Option<&Path>,
    environment: &Environment,
) -> Result<(Config, Vec<reader::Effective>), Faults> {
    let mut reader = Reader::open(file, environment);
    match assembly::config(&mut reader) {
        Ok(config) if reader.faults.is_empty() => {
            let warnings = reader.warnings;
            Ok((Config { warnings, ..config }, reader.effective))
        }
        _ => Err(reader.faults),
    }
}

/// The whole configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
    /// Where secrets were read from: the name of the setting, and the file. It is the configuration file where the secret
    /// stands in it.
    pub secret_files: Vec<(&'static str, PathBuf)>,
    /// Where the public listener binds.
    pub listen: SocketAddr,
    /// Where the management listener binds: `/metrics`, `/livez`, `/readyz`.
    pub management_listen: SocketAddr,
    /// The origin under which browsers see the service: `https`, or `http` on loopback.
    pub public_url: Url,
    /// Where the embedded store and the generated cookie key live.
    pub data_dir: PathBuf,
    /// Where accounts and audit are kept, and sessions and budgets of guesses if not in `redis`.
    pub database: Database,
    /// Where sessions and budgets of guesses are kept, if not in `database`.
    pub redis: Option<RedisSettings>,
    /// The key material of the session cookie; generated into `data_dir` where it is not given.
    pub cookie_key: Option<SecretString>,
    /// The bearer token that `/metrics` asks for; none asks for none.
    pub metrics_token: Option<SecretString>,
    /// How long a session lives without use.
    pub session_idle_timeout: Duration,
    /// How long a session lives at most.
    pub session_absolute_timeout: Duration,
    /// How long a session lives that was started with `remember_me`.
    pub session_remember_timeout: Duration,
    /// Live sessions of one user; the oldest beyond it end.
    pub max_sessions_per_user: u32,
    /// How often sessions are counted.
    pub census_interval: Duration,
    /// How long a store may take to answer.
    pub store_timeout: Duration,
    /// Whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// HTTP worker threads.
    pub workers: usize,
    /// Connections of the public listener.
    pub connections: ConnectionSettings,
    /// How long audit events are kept.
    pub audit_retention: Duration,
    /// Password hashing.
    pub argon2: Argon2Settings,
    /// The login guard.
    pub guard: GuardSettings,
    /// Services, their tokens and limits.
    pub services: ServiceSettings,
    /// The first superuser, made at start where there is no account.
    pub bootstrap: Option<Bootstrap>,
    /// Logs.
    pub log: LogSettings,
    /// OpenTelemetry, from the standard `OTEL_*` variables.
    pub otel: OtelSettings,
    /// What is no fault and worth a line each, without secrets: variables that have no effect, and the like.
    pub warnings: Vec<String>,
}

/// Where accounts are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// An embedded SQLite file.
    Sqlite {
        /// The file; made where it is missing.
        path: PathBuf,
    },
}

/// A Redis (or Valkey) that keeps sessions and budgets of guesses, and how it is reached.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// Where it is.
    pub topology: RedisTopology,
    /// Speak TLS to it, and to its Sentinels.
    pub tls: bool,
    /// A PEM file of the authorities that may sign its certificate; without one those of the system.
    pub tls_ca: Option<PathBuf>,
    /// The user (ACL) to log in as; none is the default user.
    pub username: Option<String>,
    /// The user's password; none sends no `AUTH`.
    pub password: Option<SecretString>,
    /// The password of the Sentinels, where they ask for one.
    pub sentinel_password: Option<SecretString>,
    /// What every key begins with, behind the brace of its hash tag: letters, digits, `_`, `-`, `.`.
    pub key_prefix: String,
    /// How long making a connection may take.
    pub connect_timeout: Duration,
    /// Accept a server that may evict keys. It loses sessions that are counted.
    pub allow_eviction: bool,
}

/// How many Redis servers there are, and who finds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisTopology {
    /// One server.
    Standalone {
        /// The server.
        server: RedisAddress,
        /// The number of its database.
        database: u32,
    },
    /// A master that Sentinels watch.
    Sentinel {
        /// The Sentinels; one that answers is enough.
        sentinels: Vec<RedisAddress>,
        /// What they call the master.
        master: String,
        /// The number of its database.
        database: u32,
    },
    /// A Cluster.
    Cluster {
        /// Some of its nodes; one that answers is enough.
        nodes: Vec<RedisAddress>,
    },
}

/// Host and port of a server. An IPv6 address is without brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RedisAddress {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Argon2id's cost and the threads it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2Settings {
    /// Memory of one hash, in KiB.
    pub memory_kib: u32,
    /// Passes over that memory.
    pub iterations: u32,
    /// Lanes.
    pub parallelism: u32,
    /// Hashes made at the same time.
    pub threads: usize,
    /// Checks that may wait.
    pub queue: usize,
}

/// Budgets of guesses. See `guard::Budget` for what the numbers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardSettings {
    /// Failed logins until an account is locked.
    pub account_attempts: u32,
    /// Failed logins until an address is locked out.
    pub address_attempts: u32,
    /// How long the first lock lasts.
    pub lock: Duration,
    /// How long a lock lasts at most.
    pub longest_lock: Duration,
    /// In which time one failed login of an account is forgotten.
    pub account_regain: Duration,
    /// In which time one failed login of an address is forgotten.
    pub address_regain: Duration,
    /// After which quiet time locks are forgotten.
    pub forget: Duration,
}

/// Services: how many, how their tokens are made, what is given to those for which nothing else is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSettings {
    /// Services that may be registered at a time.
    pub most: u32,
    /// For whom tokens may be asked for; never empty, the first for those who do not say.
    pub audiences: Vec<String>,
    /// How tokens are signed.
    pub algorithm: TokenAlgorithm,
    /// How long a token is valid.
    pub token_lifetime: Duration,
    /// How long a key signs.
    pub key_rotation: Duration,
    /// How long a new key is published before it signs.
    pub key_lead: Duration,
    /// How long a client secret is accepted.
    pub credential_lifetime: Duration,
    /// How long the one before is accepted after a rotation.
    pub credential_overlap: Duration,
    /// The rate of a service for which no other is set.
    pub rate: Rate,
    /// Its burst.
    pub burst: u32,
    /// Its daily quota; `None` sets none.
    pub daily_quota: Option<u64>,
    /// What is done with a request whose limits cannot be checked.
    pub limit_failure: LimitFailure,
    /// After which silence a service is degraded.
    pub degraded_after: Duration,
    /// After which silence a service is stale.
    pub stale_after: Duration,
}

impl ServiceSettings {
    /// The greatest burst of any service.
    pub const MAX_BURST: u32 = 1_000_000;
    /// The greatest daily quota of any service. It is also told in a header, where a number has 15 digits at most (RFC 9651).
    pub const MAX_DAILY_QUOTA: u64 = 1_000_000_000_000;
    /// The longest time in which a whole burst is refilled. In microseconds it stays far below 2^53 also when it is added to
    /// the time: scripts in Redis count in doubles.
    pub const LONGEST_WINDOW: Duration = Duration::from_hours(3_650 * 24);
    /// The longest time for which the secret before is accepted after a rotation.
    pub const LONGEST_OVERLAP: Duration = Duration::from_hours(365 * 24);

    /// The greatest burst where one request is refilled in this time.
    #[must_use]
    pub fn most_at_once(interval: Duration) -> u32 {
        let most = Self::LONGEST_WINDOW.as_micros() / interval.as_micros().max(1);
        u32::try_from(most).map_or(Self::MAX_BURST, |it| it.min(Self::MAX_BURST))
    }
}

/// How access tokens are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenAlgorithm {
    /// Ed25519.
    EdDsa,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

/// What is done with a request whose limits cannot be checked because the store does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitFailure {
    /// It is refused.
    Closed,
    /// It passes, is counted and logged.
    Open,
}

/// The first superuser.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    /// Login name.
    pub username: String,
    /// Password.
    pub password: SecretString,
}

/// How logs are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// A filter as `tracing_subscriber::EnvFilter` reads it, for example `info` or `skriptoteket=debug,info`.
    pub filter: String,
    /// The form.
    pub format: LogFormat,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}
