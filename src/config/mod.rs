//! Configuration: every setting with its unit and default.
//!
//! Settings come from a TOML file and from the environment, which takes precedence. [`load`] reads both, checks
//! everything and reports all faults at once.
//!
//! | file | contents |
//! |---|---|
//! | `settings` | the table of all settings: name, range, default, help |
//! | `forms` | the syntax of values in TOML, and of networks, log filters, … |
//! | `names` | the names of settings |
//! | `reader` | reads the two sources into typed values |
//! | `assembly` | builds the whole configuration, and checks settings against each other |
//! | `sharing` | the Redis settings, from the URL and the separate settings |
//! | `domains` | converts the configuration into the settings of each domain |
//! | `connections`, `pages` | the settings of connections and of the pages |
//! | `render` | `config show` and `config init` |
//!
//! The environment, the standard `OTEL_…` variables, the Redis URL, general forms and faults are in
//! [`skriptoteket_config`], which other applications can use.

mod assembly;
mod connections;
mod domains;
mod forms;
mod names;
mod pages;
mod reader;
mod render;
mod settings;
mod sharing;
#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;
use secrecy::SecretString;
use url::Url;

pub use connections::ConnectionSettings;
pub use render::{SettingDefault, SettingView, settings as all_settings, template};
pub use skriptoteket_config::{
    Environment, Fault, Faults, OTEL_VARIABLES, OTEL_WITHOUT_EFFECT, OtelVariable,
};

use crate::{
    accounts::password::HashingPolicy,
    pages::PageSettings,
    services::ServiceSettings,
    store::RedisSettings,
    telemetry::{LogSettings, OtelSettings},
};

use reader::Reader;

/// Reads and checks the whole configuration.
///
/// `file` is the file to read; without it, that of `SKRIPTOTEKET_CONFIG`; without that, `skriptoteket.toml` in the
/// working directory if it exists (see [`Environment::from_process`]). The environment overrides the file. Relative
/// paths are relative to the working directory.
///
/// # Errors
///
/// All faults at once, without secrets.
pub fn load(file: Option<&Path>, environment: &Environment) -> Result<Config, Faults> {
    read(file, environment).map(|(config, _)| config)
}

/// Returns the settings in effect as TOML: every setting with its value and its source. For secrets it shows only
/// whether they are set.
///
/// # Errors
///
/// See [`load`].
pub fn show(file: Option<&Path>, environment: &Environment) -> Result<String, Faults> {
    read(file, environment).map(|(config, effective)| render::effective(&effective, &config.otel))
}

fn read(
    file: Option<&Path>,
    environment: &Environment,
) -> Result<(Config, Vec<reader::Effective>), Faults> {
    let mut reader = Reader::open(file, environment);
    match assembly::config(&mut reader) {
        Ok(config) if reader.variables.faults.is_empty() => {
            let warnings = reader.variables.warnings;
            Ok((Config { warnings, ..config }, reader.effective))
        }
        _ => Err(reader.variables.faults),
    }
}

/// The whole configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
    /// The files that secrets were read from, each with the name of the setting. This includes the configuration
    /// file, if it contains the secret itself.
    pub secret_files: Vec<(&'static str, PathBuf)>,
    /// Address of the public listener.
    pub listen: SocketAddr,
    /// Address of the management listener: `/metrics`, `/livez`, `/readyz`.
    pub management_listen: SocketAddr,
    /// The origin under which browsers reach the service: `https`, or `http` on loopback.
    pub public_url: Url,
    /// Directory of the embedded store and the generated cookie key.
    pub data_dir: PathBuf,
    /// Store of accounts and the audit trail; also of sessions and login limits if there is no `redis`.
    pub database: Database,
    /// Store of sessions and login limits, if not in `database`.
    pub redis: Option<RedisSettings>,
    /// The key material of the session cookie; generated into `data_dir` if it is not given.
    pub cookie_key: Option<SecretString>,
    /// The bearer token that `/metrics` requires, if any.
    pub metrics_token: Option<SecretString>,
    /// Lifetime of a session without use.
    pub session_idle_timeout: Duration,
    /// Maximum lifetime of a session.
    pub session_absolute_timeout: Duration,
    /// Lifetime of a session that was started with `remember_me`.
    pub session_remember_timeout: Duration,
    /// Maximum number of live sessions per user; the oldest beyond it end.
    pub max_sessions_per_user: u32,
    /// Interval at which sessions are counted.
    pub census_interval: Duration,
    /// Timeout of a store operation.
    pub store_timeout: Duration,
    /// Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// HTTP worker threads.
    pub workers: usize,
    /// Connections of the public listener.
    pub connections: ConnectionSettings,
    /// Retention of audit events.
    pub audit_retention: Duration,
    /// Password hashing.
    pub argon2: HashingPolicy,
    /// The login guard.
    pub guard: GuardSettings,
    /// Services, their tokens and limits.
    pub services: ServiceSettings,
    /// The first superuser, created at start if there is no account.
    pub bootstrap: Option<Bootstrap>,
    /// The pages.
    pub pages: PageSettings,
    /// Logs.
    pub log: LogSettings,
    /// OpenTelemetry, from the standard `OTEL_*` variables.
    pub otel: OtelSettings,
    /// Notes that are not faults, one line each and without secrets: for example variables that have no effect.
    pub warnings: Vec<String>,
}

/// Store of accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// An embedded SQLite file.
    Sqlite {
        /// The file; created if it is missing.
        path: PathBuf,
    },
}

/// Limits of failed logins. See `guard::Budget` for the effect of the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardSettings {
    /// Failed logins before an account is locked.
    pub account_attempts: u32,
    /// Failed logins before an address is locked.
    pub address_attempts: u32,
    /// Duration of the first lock.
    pub lock: Duration,
    /// Maximum duration of a lock.
    pub longest_lock: Duration,
    /// Time after which one failed login of an account no longer counts.
    pub account_regain: Duration,
    /// Time after which one failed login of an address no longer counts.
    pub address_regain: Duration,
    /// Idle time after which the lock back-off resets.
    pub forget: Duration,
}

/// The first superuser.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    /// Login name.
    pub username: String,
    /// Password.
    pub password: SecretString,
}
