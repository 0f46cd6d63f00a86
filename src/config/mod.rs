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
//! | `domains` | the settings of each domain, from the configuration |
//! | `otel` | the standard `OTEL_…` variables |
//! | `render` | `config show` and `config init` |
//! | `faults` | what is wrong, where, and what would be right |

mod assembly;
mod connections;
mod domains;
mod environment;
mod faults;
mod forms;
mod names;
mod nearest;
mod otel;
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
pub use environment::Environment;
pub use faults::{Fault, Faults};
pub use otel::{OTEL_VARIABLES, OTEL_WITHOUT_EFFECT, OtelVariable};
pub use render::{SettingDefault, SettingView, settings as all_settings, template};

use crate::{
    accounts::password::HashingPolicy,
    services::ServiceSettings,
    store::RedisSettings,
    telemetry::{LogSettings, OtelSettings},
};

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
    pub argon2: HashingPolicy,
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

/// The first superuser.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    /// Login name.
    pub username: String,
    /// Password.
    pub password: SecretString,
}
