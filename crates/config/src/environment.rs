//! The process environment as a value: read once and passed on.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fmt,
    path::PathBuf,
};

/// The prefix of the variables of all settings of the server.
pub const SETTINGS_PREFIX: &str = "SKRIPTOTEKET_";

/// The prefix of the standard variables of OpenTelemetry.
const OTEL_PREFIX: &str = "OTEL_";

/// The file that is read from the working directory if no other is given.
const DEFAULT_FILE: &str = "skriptoteket.toml";

/// Environment variables, and the default configuration file of the server if none of them names one.
///
/// [`Environment::default`] is empty and has no default file: a test fills it with [`Environment::with`].
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, OsString>,
    default_file: Option<PathBuf>,
}

impl Environment {
    /// Reads the environment of this process: its `SKRIPTOTEKET_…` and `OTEL_…` variables, and `skriptoteket.toml` in
    /// the working directory as the default file. Other variables are not read.
    #[must_use]
    pub fn from_process() -> Self {
        // `vars_os`, because `vars` panics on values that are not UTF-8.
        #[expect(
            clippy::disallowed_methods,
            reason = "this is where the environment enters the crate"
        )]
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name.starts_with(SETTINGS_PREFIX) || name.starts_with(OTEL_PREFIX))
            .collect();
        Self {
            variables,
            default_file: Some(PathBuf::from(DEFAULT_FILE)),
        }
    }

    /// Returns this environment with one more variable.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<OsString>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// Returns this environment without the service's own settings and without a file; the standard variables are
    /// kept.
    #[must_use]
    pub fn standard_only(mut self) -> Self {
        self.variables
            .retain(|name, _| name.starts_with(OTEL_PREFIX));
        self.default_file = None;
        self
    }

    /// Returns the value of a variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&OsString> {
        self.variables.get(name)
    }

    /// Returns all variables with the prefix of settings.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &OsStr)> {
        let variables = self.variables.iter();
        let variables = variables.map(|(name, value)| (name.as_str(), value.as_os_str()));
        variables.filter(|(name, _)| name.starts_with(SETTINGS_PREFIX))
    }

    /// Returns the names of all variables with the prefix of OpenTelemetry.
    pub fn standard(&self) -> impl Iterator<Item = &str> {
        let names = self.variables.keys().map(String::as_str);
        names.filter(|name| name.starts_with(OTEL_PREFIX))
    }

    /// Returns the file that is read if no other is given, if there is such a default.
    #[must_use]
    pub fn default_file(&self) -> Option<&PathBuf> {
        self.default_file.as_ref()
    }
}

impl fmt::Debug for Environment {
    /// Prints names only: some of the values are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("variables", &self.variables.keys())
            .field("default_file", &self.default_file)
            .finish()
    }
}
