//! The names of settings in the file and in the environment, and variables with similar names.

use std::ffi::OsStr;

use skriptoteket_config::SETTINGS_PREFIX;

use super::settings::{self, Entry};

/// The variable that names the configuration file, if no argument does.
pub(super) const CONFIG_VARIABLE: &str = "SKRIPTOTEKET_CONFIG";

/// Returns the environment variable of a key.
pub(super) fn variable(key: &str) -> String {
    format!("{SETTINGS_PREFIX}{}", key.to_ascii_uppercase())
}

/// Returns the key that names a file with the secret in it.
pub(super) fn file_key(name: &str) -> String {
    format!("{name}_file")
}

/// Returns every key that a file may contain.
pub(super) fn known_keys() -> Vec<String> {
    let keys = |entry: &dyn Entry| {
        let as_file = entry.is_secret().then(|| file_key(entry.name()));
        [Some(entry.name().to_owned()), as_file]
    };
    settings::all().flat_map(keys).flatten().collect()
}

/// Returns every variable that the environment may contain.
pub(super) fn known_variables() -> Vec<String> {
    let mut known: Vec<String> = known_keys().iter().map(|key| variable(key)).collect();
    known.push(CONFIG_VARIABLE.to_owned());
    known
}

/// Returns true for the variables that Kubernetes adds to every container of a namespace with a service named
/// `skriptoteket…`: they are not mistakes of the operator.
pub(super) fn is_service_link(name: &str, value: &OsStr) -> bool {
    let value = value.to_string_lossy();
    let mut schemes = ["tcp://", "udp://", "sctp://"].into_iter();
    let mut protocols = ["_TCP", "_UDP", "_SCTP"].into_iter();
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.contains("_PORT_") && protocols.any(|it| name.contains(it)))
        || (name.ends_with("_PORT") && schemes.any(|it| value.starts_with(it)))
}
