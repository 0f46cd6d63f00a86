//! Settings that are valid but probably wrong: reported by `config check`, and in the log at every start.

use std::{fs, net::IpAddr, os::unix::fs::PermissionsExt, path::Path};

use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    accounts::password::{check_new, guesses_log10},
    config::Config,
};

/// A proxy network with fewer bits is too large to contain only proxies: /8 is the largest private network of IPv4.
const LEAST_BITS_V4: u8 = 8;
/// The same for IPv6: `fd00::/8` is private, and no public allocation exceeds a /16.
const LEAST_BITS_V6: u8 = 8;

/// Minimum number of guesses for a secret used by machines, as a power of ten. 16 random characters need more.
const TOKEN_GUESSES_LOG10: f64 = 12.0;
/// The same for a key: an attacker who has a cookie can guess offline.
const KEY_GUESSES_LOG10: f64 = 20.0;

/// Returns one line for each doubtful setting: its name, its value and the recommended change. No line contains a
/// secret.
pub(crate) fn of(config: &Config) -> Vec<String> {
    let mut doubts = Vec::new();
    for network in &config.trusted_proxies {
        doubts.extend(proxies(network));
    }
    if config.metrics_token.is_none() && !config.management_listen.ip().is_loopback() {
        doubts.push(format!(
            "management_listen = {}: any client that reaches this address can read /metrics; set metrics_token, or \
             listen on loopback",
            config.management_listen
        ));
    }
    doubts.extend(weak_secrets(config));
    for (name, file) in &config.secret_files {
        doubts.extend(open_file(name, file));
    }
    doubts.extend(open_directory(&config.data_dir));
    doubts.extend(silent_log(&config.log.filter));
    doubts
}

fn proxies(network: &IpNet) -> Option<String> {
    let bits = network.prefix_len();
    match network {
        IpNet::V6(v6) if is_mapped(v6.network().into()) && bits >= 96 => {
            let v4 = v6
                .network()
                .to_ipv4_mapped()
                .map(|v4| format!("{v4}/{}", bits - 96));
            Some(format!(
                "trusted_proxies: {network} never matches, because IPv4 addresses are compared as IPv4; write {}",
                v4.unwrap_or_default()
            ))
        }
        IpNet::V4(_) if bits < LEAST_BITS_V4 => Some(everybody(network)),
        IpNet::V6(_) if bits < LEAST_BITS_V6 => Some(everybody(network)),
        _ => None,
    }
}

fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
}

fn everybody(network: &IpNet) -> String {
    format!(
        "trusted_proxies: {network} lets clients choose their own address in X-Forwarded-For, which login limits and the audit \
         trail rely on; list only the addresses of the proxies"
    )
}

fn weak_secrets(config: &Config) -> Vec<String> {
    let weak = |secret: &Option<SecretString>, least: f64| {
        let secret = secret.as_ref();
        secret.is_some_and(|it| guesses_log10(it.expose_secret()) < least)
    };
    let mut doubts = Vec::new();
    for (name, secret, least) in [
        ("cookie_key", &config.cookie_key, KEY_GUESSES_LOG10),
        ("metrics_token", &config.metrics_token, TOKEN_GUESSES_LOG10),
    ] {
        if weak(secret, least) {
            doubts.push(format!(
                "{name} is easy to guess; generate a random one, for example with `openssl rand -base64 48`"
            ));
        }
    }
    if let Some(first) = &config.bootstrap
        && let Err(why) = check_new(
            first.password.expose_secret(),
            &[&first.username.to_lowercase()],
        )
    {
        doubts.push(format!(
            "bootstrap_password: {why}; if there is no account yet, the service does not start with it"
        ));
    }
    doubts
}

/// Returns the permissions of other users of this machine for a file or directory, from its mode.
fn others(path: &Path) -> u32 {
    let mode = fs::metadata(path).map(|it| it.permissions().mode());
    // A missing or unreadable file is reported elsewhere.
    mode.unwrap_or(0) & 0o007
}

fn open_file(name: &str, file: &Path) -> Option<String> {
    let what = match others(file) {
        0 | 1 => return None,
        rights if rights & 0o002 != 0 => "read or changed",
        _ => "read",
    };
    Some(format!(
        "{name}: the file {} can be {what} by every user of this machine; `chmod o-rwx` it",
        file.display()
    ))
}

fn open_directory(directory: &Path) -> Option<String> {
    (others(directory) & 0o006 != 0).then(|| {
        format!(
            "data_dir = {}: every user of this machine can list or change it; `chmod 0700` it",
            directory.display()
        )
    })
}

/// Returns a warning for a filter that names only targets, and not this service.
fn silent_log(filter: &str) -> Option<String> {
    let is_heard = filter.split(',').map(str::trim).any(|directive| {
        let target = directive.split(['=', '[']).next().unwrap_or_default();
        target.is_empty() || target.starts_with("skriptoteket") || !directive.contains('=')
    });
    (!is_heard).then(|| {
        format!(
            "log = {filter}: hides all log lines of this service, and shows only errors of other targets; begin with a level, for \
             example info,{filter}"
        )
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::{Environment, load};

    fn doubts(settings: &[(&str, &str)]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let mut environment = Environment::default().with(
            "SKRIPTOTEKET_DATA_DIR",
            dir.path().join("data").into_os_string(),
        );
        for (name, value) in settings {
            environment = environment.with(*name, *value);
        }
        of(&load(None, &environment).unwrap())
    }

    #[test]
    fn the_defaults_and_good_settings_raise_no_doubt() {
        assert_eq!(doubts(&[]), [""; 0]);
        let good = [
            (
                "SKRIPTOTEKET_TRUSTED_PROXIES",
                "10.0.0.0/8, fd00::/8, 192.0.2.7",
            ),
            (
                "SKRIPTOTEKET_COOKIE_KEY",
                "vYb1fHq0V9m3Xr7cJw2sTn8kQz5uLd4e6gAoPi+BxEh/RyMWNUjKtFZCISlDGOaV",
            ),
            ("SKRIPTOTEKET_METRICS_TOKEN", "8fJq2LxWz7RmTb3K"),
            ("SKRIPTOTEKET_MANAGEMENT_LISTEN", "0.0.0.0:9464"),
            (
                "SKRIPTOTEKET_BOOTSTRAP_PASSWORD",
                "tundra-lantern-quarry-41",
            ),
            ("SKRIPTOTEKET_LOG", "warn,sqlx=error"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318"),
        ];
        assert_eq!(doubts(&good), [""; 0]);
    }

    #[test]
    fn what_is_valid_and_still_wrong_is_told() {
        let same = "a".repeat(32);
        for (name, value, expected) in [
            (
                "TRUSTED_PROXIES",
                "0.0.0.0/0",
                "0.0.0.0/0 lets clients choose",
            ),
            ("TRUSTED_PROXIES", "::/0", "::/0 lets clients choose"),
            ("TRUSTED_PROXIES", "128.0.0.0/1", "lets clients choose"),
            ("TRUSTED_PROXIES", "::ffff:10.0.0.0/104", "write 10.0.0.0/8"),
            ("METRICS_TOKEN", "a", "metrics_token is easy to guess"),
            (
                "METRICS_TOKEN",
                "password123",
                "metrics_token is easy to guess",
            ),
            (
                "BOOTSTRAP_PASSWORD",
                "a",
                "bootstrap_password: the password is too short",
            ),
            ("BOOTSTRAP_PASSWORD", "password1", "too easy to guess"),
            ("COOKIE_KEY", same.as_str(), "cookie_key is easy to guess"),
            ("MANAGEMENT_LISTEN", "0.0.0.0:9464", "set metrics_token"),
            ("LOG", "sqlx=debug", "hides all log lines"),
        ] {
            let told = doubts(&[(&format!("SKRIPTOTEKET_{name}"), value)]);
            let all = told.join("\n");
            assert!(all.contains(expected), "{name} = {value}: {all}");
            assert_eq!(told.len(), 1, "{all}");
        }
    }

    #[test]
    fn files_and_directories_that_everybody_reads_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        fs::write(
            &file,
            "vYb1fHq0V9m3Xr7cJw2sTn8kQz5uLd4e6gAoPi+BxEh/RyMWNUjKtFZCISlDGOaV\n",
        )
        .unwrap();
        let key = ("SKRIPTOTEKET_COOKIE_KEY_FILE", file.to_str().unwrap());
        let data = ("SKRIPTOTEKET_DATA_DIR", dir.path().to_str().unwrap());
        for (mode, of_dir, expected) in [
            (0o600, 0o700, None),
            (0o640, 0o750, None),
            (0o644, 0o700, Some("can be read by every user")),
            (0o666, 0o700, Some("can be read or changed by every user")),
            (0o600, 0o777, Some("`chmod 0700` it")),
        ] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(of_dir)).unwrap();
            let told = doubts(&[key, data]).join("\n");
            match expected {
                Some(expected) => assert!(told.contains(expected), "{told}"),
                None => assert_eq!(told, ""),
            }
        }
    }
}
