//! Every kind of fault: its location, the value, and what was expected.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

use super::*;

/// Returns the faults of an environment, one line each.
fn lines<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    let faults = from_env(variables).unwrap_err();
    faults.iter().map(ToString::to_string).collect()
}

/// Returns the only fault of one variable of a setting.
fn fault(setting: &str, value: &str) -> String {
    let name = format!("SKRIPTOTEKET_{}", setting.to_uppercase());
    let lines = lines([(name.as_str(), value)]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines[0].clone()
}

fn in_file(text: &str) -> Vec<String> {
    let written = Written::file(text);
    let directory = format!("{}/", written.directory.path().display());
    let faults = written.load().unwrap_err();
    let strip = |fault: &Fault| fault.to_string().replace(&directory, "");
    faults.iter().map(strip).collect()
}

#[test]
fn a_fault_names_the_variable_the_value_and_what_would_be_right() {
    assert_eq!(
        fault("census_interval", "5"),
        "SKRIPTOTEKET_CENSUS_INTERVAL = \"5\": expected a whole number and a unit (500ms, 5s, 30m, 12h, 30d), \
         from 100ms to 1h"
    );
    assert_eq!(
        fault("max_sessions_per_user", "0"),
        "SKRIPTOTEKET_MAX_SESSIONS_PER_USER = \"0\": expected a whole number from 1 to 1000"
    );
    assert_eq!(
        fault("log_format", "xml"),
        "SKRIPTOTEKET_LOG_FORMAT = \"xml\": expected one of auto, human, json"
    );
}

#[test]
fn a_fault_in_the_file_names_file_and_key() {
    let faults =
        in_file("census_interval = 5\nmax_sessions_per_user = \"many\"\ntrusted_proxies = [1]");
    assert_eq!(
        faults,
        [
            "skriptoteket.toml: trusted_proxies = [1]: expected addresses and networks in CIDR form, for example 127.0.0.1, \
             10.0.0.0/8, fd00::/8, in an array or written in quotes",
            "skriptoteket.toml: max_sessions_per_user = \"many\": expected a whole number from 1 to 1000",
            "skriptoteket.toml: census_interval = 5: expected a whole number and a unit (500ms, 5s, 30m, 12h, 30d), \
             from 100ms to 1h, written in quotes",
        ]
    );
}

#[test]
fn every_range_is_held() {
    for (setting, bad) in [
        ("listen", "8080"),
        ("listen", "localhost:8080"),
        ("management_listen", "127.0.0.1:99999"),
        ("data_dir", ""),
        ("session_idle_timeout", "500ms"),
        ("session_remember_timeout", "401d"),
        ("max_sessions_per_user", "1001"),
        ("max_sessions_per_user", "-1"),
        ("census_interval", "99ms"),
        ("census_interval", "61m"),
        ("store_timeout", "9ms"),
        ("store_timeout", "31s"),
        ("trusted_proxies", "127.0.0.0/33"),
        ("trusted_proxies", "127.0.0.1,,127.0.0.2"),
        ("workers", "0"),
        ("workers", "257"),
        ("audit_retention", "59m"),
        ("argon2_memory_kib", "7"),
        ("argon2_iterations", "0"),
        ("argon2_threads", "0"),
        ("argon2_queue", "100001"),
        ("guard_account_attempts", "0"),
        ("guard_address_attempts", "1000001"),
        ("guard_longest_lock", "8d"),
        ("guard_account_regain", "99ms"),
        ("guard_forget", "59s"),
        ("bootstrap_username", ""),
        ("redis_username", "a b"),
        ("redis_key_prefix", ""),
        ("redis_key_prefix", "a{b}"),
        ("redis_key_prefix", "123456789012345678901234567890123"),
        ("redis_connect_timeout", "9ms"),
        ("redis_connect_timeout", "31s"),
        ("redis_allow_eviction", "yes"),
        ("log", ""),
        ("log", "a=b=c"),
    ] {
        let fault = fault(setting, bad);
        assert!(fault.contains(": expected "), "{fault}");
        assert!(fault.contains(&format!("= \"{bad}\"")), "{fault}");
    }
}

#[test]
fn settings_are_checked_against_each_other() {
    let absolute = ("SKRIPTOTEKET_SESSION_ABSOLUTE_TIMEOUT", "10m");
    assert_eq!(
        lines([absolute, ("SKRIPTOTEKET_SESSION_IDLE_TIMEOUT", "11m")]),
        [
            "SKRIPTOTEKET_SESSION_IDLE_TIMEOUT = \"11m\": expected at most session_absolute_timeout, which is \"10m\""
        ]
    );
    assert_eq!(
        fault("session_remember_timeout", "1h"),
        "session_absolute_timeout = \"12h\" (the default): expected at most session_remember_timeout, which is \"1h\""
    );
    let longest = ("SKRIPTOTEKET_GUARD_LONGEST_LOCK", "15m");
    assert_eq!(
        lines([longest, ("SKRIPTOTEKET_GUARD_LOCK", "16m")]),
        [
            "SKRIPTOTEKET_GUARD_LOCK = \"16m\": expected at most guard_longest_lock, which is \"15m\""
        ]
    );
    let rate = ("SKRIPTOTEKET_SERVICE_RATE", "1/d");
    assert_eq!(
        lines([rate, ("SKRIPTOTEKET_SERVICE_BURST", "3651")]),
        [
            "SKRIPTOTEKET_SERVICE_BURST = \"3651\": expected at most 3650, which service_rate = 1/d refills in 3650 days"
        ]
    );
    assert!(from_env([rate, ("SKRIPTOTEKET_SERVICE_BURST", "3650")]).is_ok());
    let lanes = lines([
        ("SKRIPTOTEKET_ARGON2_PARALLELISM", "4"),
        ("SKRIPTOTEKET_ARGON2_MEMORY_KIB", "31"),
    ]);
    assert_eq!(
        lanes,
        [
            "SKRIPTOTEKET_ARGON2_MEMORY_KIB = \"31\": expected at least 8 times argon2_parallelism, which is 32"
        ]
    );
}

#[test]
fn two_listeners_cannot_share_a_port() {
    let same = |listen, management| {
        from_env([
            ("SKRIPTOTEKET_LISTEN", listen),
            ("SKRIPTOTEKET_MANAGEMENT_LISTEN", management),
            ("SKRIPTOTEKET_PUBLIC_URL", "http://localhost"),
        ])
        .is_err()
    };
    assert!(same("127.0.0.1:80", "127.0.0.1:80"));
    assert!(same("0.0.0.0:80", "127.0.0.1:80"));
    assert!(!same("127.0.0.1:80", "127.0.0.2:80"));
    assert!(!same("127.0.0.1:0", "127.0.0.1:0"));
}

#[test]
fn a_listener_off_loopback_needs_a_public_url() {
    assert_eq!(
        fault("listen", "0.0.0.0:8080"),
        "public_url: is required: expected https://HOST[:PORT], or http:// with a host on loopback, \
         because listen is not on loopback"
    );
}

#[test]
fn a_network_that_is_also_an_address_is_not_guessed() {
    let fault = fault("trusted_proxies", "10.0.0.1/8");
    assert!(
        fault.ends_with("expected the network 10.0.0.0/8 or the address 10.0.0.1, not both in one"),
        "{fault}"
    );
}

#[test]
fn an_unknown_name_is_a_fault_with_the_nearest_one() {
    assert_eq!(
        fault("listn", "x"),
        "SKRIPTOTEKET_LISTN: there is no such setting; did you mean SKRIPTOTEKET_LISTEN?"
    );
    assert_eq!(
        fault("zzzzzzzzzz", "x"),
        "SKRIPTOTEKET_ZZZZZZZZZZ: there is no such setting"
    );
    assert_eq!(
        in_file("sesion_idle_timeout = \"5m\""),
        [
            "skriptoteket.toml: sesion_idle_timeout: there is no such setting; did you mean session_idle_timeout?"
        ]
    );
}

#[test]
fn a_table_is_a_fault_that_says_how_settings_are_written() {
    let faults = in_file("[guard]\nlock = \"5s\"");
    assert_eq!(faults.len(), 1);
    assert!(
        faults[0].starts_with("skriptoteket.toml: guard: settings are not grouped in tables"),
        "{faults:?}"
    );
}

#[test]
fn a_file_that_is_named_has_to_be_there_and_to_be_toml() {
    let faults = load(
        Some(Path::new("/nonexistent/s.toml")),
        &Environment::default(),
    );
    let faults = faults.unwrap_err().to_string();
    assert!(
        faults.starts_with("/nonexistent/s.toml: the file cannot be read: "),
        "{faults}"
    );
    let faults = from_env([("SKRIPTOTEKET_CONFIG", "/nonexistent/s.toml")]);
    let faults = faults.unwrap_err().to_string();
    assert!(
        faults.starts_with(
            "SKRIPTOTEKET_CONFIG = \"/nonexistent/s.toml\": the file cannot be read: "
        ),
        "{faults}"
    );
    let faults = in_file("workers = 2\n\nlisten = 127.0.0.1:8080\n");
    assert_eq!(faults.len(), 1);
    assert!(
        faults[0].starts_with("skriptoteket.toml: line 3, column "),
        "{faults:?}"
    );
}

#[test]
fn what_is_not_text_is_a_fault() {
    let environment = Environment::default().with("SKRIPTOTEKET_LOG", OsStr::from_bytes(b"\xff"));
    let faults = load(None, &environment).unwrap_err().to_string();
    assert_eq!(faults, "SKRIPTOTEKET_LOG: expected text in UTF-8");
}

#[test]
fn a_fault_is_one_line_of_bounded_length_whatever_was_typed() {
    let long = "x\ny\u{1b}[31m".repeat(100);
    for fault in [
        fault("listen", &long),
        in_file(&format!(
            "log_format = {}",
            toml::Value::from(long.as_str())
        ))[0]
            .clone(),
    ] {
        assert!(!fault.contains(char::is_control), "{fault:?}");
        assert!(fault.chars().count() < 400, "{fault}");
    }
}

#[test]
fn all_faults_are_told_at_once() {
    // A value that no setting accepts: too short for a key, not a number, not an address, not a duration.
    let junk = "\u{7f}";
    let mut settings: Vec<String> = settings::all()
        .filter(|entry| {
            let any_text_will_do = [
                "bootstrap_username",
                "bootstrap_password",
                "data_dir",
                "logo_file",
                "redis_password",
                "redis_sentinel_password",
                "redis_tls_ca",
            ];
            !any_text_will_do.contains(&entry.name())
        })
        .map(|entry| names::variable(entry.name()))
        .collect();
    settings.extend(otel_names());
    let mut variables: Vec<(&str, &str)> =
        settings.iter().map(|name| (name.as_str(), junk)).collect();
    variables.extend([
        ("SKRIPTOTEKET_BOOTSTRAP_PASSWORD", ""),
        ("SKRIPTOTEKET_DATA_DIR", ""),
    ]);
    variables.push(("SKRIPTOTEKET_BOOTSTRAP_USERNAME", ""));
    let lines = lines(variables.iter().copied());
    for (name, _) in &variables {
        let named = lines.iter().filter(|line| {
            line.starts_with(&format!("{name} ")) || line.starts_with(&format!("{name}:"))
        });
        assert_eq!(named.count(), 1, "{name} in {lines:#?}");
    }
}

#[test]
fn other_databases_are_not_in_this_build() {
    for url in [
        "postgres://db/skriptoteket",
        "sqlite:",
        "sqlite::memory:",
        "sqlite:a.db?mode=ro",
        "a.db",
    ] {
        let fault = fault("database_url", url);
        assert!(
            fault.contains("this build has no other database"),
            "{fault}"
        );
        assert!(
            !fault.contains("postgres:") && !fault.contains("a.db"),
            "{fault}"
        );
    }
}
