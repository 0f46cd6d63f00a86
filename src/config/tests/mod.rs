//! Tests through the module's public functions.

mod faults;
mod otel;
mod redis;
mod render;
mod secrets;

use std::{fs, path::PathBuf, time::Duration};

use proptest::prelude::*;
use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::*;
use crate::{
    store::{RedisAddress, RedisTopology},
    telemetry::LogFormat,
};

const SECOND: Duration = Duration::from_secs(1);

/// A directory with a configuration file in it.
struct Written {
    directory: TempDir,
}

impl Written {
    fn file(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("skriptoteket.toml"), text).unwrap();
        Self { directory }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("skriptoteket.toml")
    }

    /// Writes another file beside it and returns its path.
    fn beside(&self, name: &str, text: &str) -> String {
        let path = self.directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn load(&self) -> Result<Config, Faults> {
        load(Some(&self.path()), &Environment::default())
    }
}

fn env<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Environment {
    let add = |environment: Environment, (name, value)| environment.with(name, value);
    variables.into_iter().fold(Environment::default(), add)
}

fn from_env<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Config, Faults> {
    load(None, &env(variables))
}

#[test]
fn nothing_given_is_a_whole_configuration() {
    let config = from_env([]).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.management_listen.to_string(), "127.0.0.1:9464");
    assert_eq!(config.public_url.as_str(), "http://127.0.0.1:8080/");
    assert_eq!(config.data_dir, PathBuf::from("skriptoteket-data"));
    let path = PathBuf::from("skriptoteket-data/skriptoteket.db");
    assert_eq!(config.database, Database::Sqlite { path });
    assert!(config.cookie_key.is_none() && config.metrics_token.is_none());
    assert_eq!(config.session_idle_timeout, 30 * 60 * SECOND);
    assert_eq!(config.session_absolute_timeout, 12 * 3_600 * SECOND);
    assert_eq!(config.session_remember_timeout, 30 * 86_400 * SECOND);
    assert_eq!(config.max_sessions_per_user, 10);
    assert_eq!(config.census_interval, 5 * SECOND);
    assert_eq!(config.store_timeout, SECOND / 2);
    assert_eq!(config.audit_retention, 90 * 86_400 * SECOND);
    let proxies: Vec<String> = config
        .trusted_proxies
        .iter()
        .map(IpNet::to_string)
        .collect();
    assert_eq!(proxies, ["127.0.0.0/8", "::1/128"]);
    assert!((1..=256).contains(&config.workers));
    let HashingPolicy {
        memory_kib,
        iterations,
        parallelism,
        threads,
        queue,
        ..
    } = config.argon2;
    assert_eq!((memory_kib, iterations, parallelism), (19_456, 2, 1));
    assert_eq!((threads, queue), (config.workers, 64));
    assert_eq!(
        config.guard,
        GuardSettings {
            account_attempts: 10,
            address_attempts: 100,
            lock: 60 * SECOND,
            longest_lock: 900 * SECOND,
            account_regain: 300 * SECOND,
            address_regain: 10 * SECOND,
            forget: 86_400 * SECOND,
        }
    );
    assert!(config.bootstrap.is_none() && config.redis.is_none());
    assert!(config.log.filter.starts_with("info,"));
    assert_eq!(config.log.format, LogFormat::Auto);
}

#[test]
fn the_file_is_read_and_the_environment_wins() {
    let written = Written::file(
        r#"
        listen = "127.0.0.1:0"
        census_interval = "9s"
        max_sessions_per_user = 3
        trusted_proxies = ["10.0.0.0/8", "192.0.2.7"]
        log_format = "json"
        "#,
    );
    let environment = env([("SKRIPTOTEKET_CENSUS_INTERVAL", "2s")]);
    let config = load(Some(&written.path()), &environment).unwrap();
    assert_eq!(config.census_interval, 2 * SECOND);
    assert_eq!(config.max_sessions_per_user, 3);
    assert_eq!(config.log.format, LogFormat::Json);
    let proxies: Vec<String> = config
        .trusted_proxies
        .iter()
        .map(IpNet::to_string)
        .collect();
    assert_eq!(proxies, ["10.0.0.0/8", "192.0.2.7/32"]);
}

#[test]
fn a_default_gives_way_to_a_setting_beside_it() {
    let with = |setting: &str, value: &str| {
        let name = format!("SKRIPTOTEKET_{setting}");
        from_env([(name.as_str(), value)]).unwrap()
    };
    let short = with("SESSION_ABSOLUTE_TIMEOUT", "10m");
    assert_eq!(short.session_idle_timeout, 600 * SECOND);
    let long = with("SESSION_ABSOLUTE_TIMEOUT", "60d");
    assert_eq!(long.session_remember_timeout, 60 * 86_400 * SECOND);
    assert_eq!(long.session_idle_timeout, 30 * 60 * SECOND);
    let lock = with("GUARD_LOCK", "1h");
    assert_eq!(lock.guard.longest_lock, 3_600 * SECOND);
}

#[test]
fn a_variable_names_the_file_and_an_argument_wins_over_it() {
    let one = Written::file("max_sessions_per_user = 1");
    let two = Written::file("max_sessions_per_user = 2");
    let environment = Environment::default().with("SKRIPTOTEKET_CONFIG", one.path());
    assert_eq!(load(None, &environment).unwrap().max_sessions_per_user, 1);
    let config = load(Some(&two.path()), &environment).unwrap();
    assert_eq!(config.max_sessions_per_user, 2);
}

#[test]
fn the_database_is_in_the_data_directory_or_where_its_url_says() {
    let path = |url: &str| {
        let given = [
            ("SKRIPTOTEKET_DATA_DIR", "/srv/data"),
            ("SKRIPTOTEKET_DATABASE_URL", url),
        ];
        let Database::Sqlite { path } = from_env(given).unwrap().database;
        path.to_str().unwrap().to_owned()
    };
    assert_eq!(path(""), "/srv/data/skriptoteket.db");
    assert_eq!(path("sqlite:some/file.db"), "some/file.db");
    assert_eq!(path("sqlite:/abs/file.db"), "/abs/file.db");
    assert_eq!(path("sqlite:///abs/file.db"), "/abs/file.db");
}

#[test]
fn an_empty_list_of_proxies_trusts_nobody() {
    let config = from_env([("SKRIPTOTEKET_TRUSTED_PROXIES", "")]).unwrap();
    assert!(config.trusted_proxies.is_empty());
    let config = from_env([("SKRIPTOTEKET_TRUSTED_PROXIES", "10.1.2.3 , fd00::/8")]).unwrap();
    assert_eq!(config.trusted_proxies.len(), 2);
}

#[test]
fn a_bootstrap_password_makes_a_bootstrap_account() {
    let bootstrap = |given: &[(&str, &str)]| from_env(given.iter().copied()).unwrap().bootstrap;
    let password = ("SKRIPTOTEKET_BOOTSTRAP_PASSWORD", "tall ships at dawn");
    let by_default = bootstrap(&[password]).unwrap();
    assert_eq!(by_default.username, "admin");
    assert_eq!(by_default.password.expose_secret(), password.1);
    let named = bootstrap(&[password, ("SKRIPTOTEKET_BOOTSTRAP_USERNAME", "ada")]).unwrap();
    assert_eq!(named.username, "ada");
    assert!(bootstrap(&[("SKRIPTOTEKET_BOOTSTRAP_USERNAME", "ada")]).is_none());
}

#[test]
fn a_public_url_is_https_or_on_loopback() {
    let url = |text: &str| {
        let given = [
            ("SKRIPTOTEKET_LISTEN", "0.0.0.0:8080"),
            ("SKRIPTOTEKET_PUBLIC_URL", text),
        ];
        from_env(given).map(|config| config.public_url.to_string())
    };
    for good in [
        "https://login.example.org",
        "https://login.example.org:8443/",
        "http://localhost:8080",
        "http://127.9.9.9",
        "http://[::1]:8080",
    ] {
        assert!(url(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "login.example.org",
        "ftp://login.example.org",
        "http://login.example.org",
        "http://localhost.example.org",
        "http://192.168.1.1",
        "http://0.0.0.0:8080",
        "https://login.example.org/path",
        "https://login.example.org/?query",
        "https://login.example.org/#top",
        "https://ada@login.example.org",
        "https://",
    ] {
        assert!(url(bad).is_err(), "{bad}");
    }
    let faults = url("http://login.example.org").unwrap_err().to_string();
    assert!(
        faults.contains("cookie would travel in the clear"),
        "{faults}"
    );
}

#[test]
fn variables_that_kubernetes_adds_are_no_settings() {
    let links = [
        ("SKRIPTOTEKET_SERVICE_HOST", "10.0.0.1"),
        ("SKRIPTOTEKET_SERVICE_PORT", "8080"),
        ("SKRIPTOTEKET_SERVICE_PORT_HTTP", "8080"),
        ("SKRIPTOTEKET_PORT", "tcp://10.0.0.1:8080"),
        ("SKRIPTOTEKET_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("SKRIPTOTEKET_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("SKRIPTOTEKET_METRICS_SERVICE_HOST", "10.0.0.2"),
    ];
    from_env(links).unwrap();
    assert!(from_env([("SKRIPTOTEKET_PORT", "8080")]).is_err());
}

#[test]
fn only_our_own_and_opentelemetrys_variables_are_looked_at() {
    let config = from_env([
        ("LISTEN", "junk"),
        ("OTEL_SERVICE_NAME", "x"),
        ("PATH", "/"),
    ]);
    assert!(config.is_ok());
}

proptest! {
    #[test]
    fn no_file_makes_it_panic(text in "(\\PC|\n){0,200}") {
        let written = Written::file(&text);
        if let Err(faults) = written.load() {
            let lines = faults.to_string().lines().count();
            prop_assert_eq!(lines, faults.iter().count(), "one line each");
        }
    }

    #[test]
    fn no_value_of_any_setting_makes_it_panic(
        index in any::<prop::sample::Index>(),
        value in prop_oneof!["\\PC{0,40}", "[0-9]{0,20}(ms|s|m|h|d|/8)?", "[a-z]{1,6}:[/a-z0-9.:@?#\\[\\]]{0,20}"],
    ) {
        let mut names: Vec<String> = names::known_variables();
        names.extend(otel_names());
        let name = index.get(&names);
        if let Err(faults) = from_env([(name.as_str(), value.as_str())]) {
            prop_assert!(faults.iter().count() > 0);
        }
        let written = Written::file(&format!("{} = {}", index.get(&names::known_keys()), forms_quoted(&value)));
        let _ = written.load();
    }
}

/// Returns every standard variable that is read.
fn otel_names() -> Vec<String> {
    OTEL_VARIABLES
        .iter()
        .flat_map(OtelVariable::names)
        .collect()
}

fn forms_quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
