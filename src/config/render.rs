//! The configuration as TOML: the settings in effect, and a template file.

use std::fmt::Write;

use skriptoteket_config::{Origin, one_line};

use crate::telemetry::{OtelSettings, OtlpTarget};

use super::{
    names::{file_key, variable},
    reader::Effective,
    settings::{Entry, Preset, SECTIONS},
};

/// Formats the settings in effect, in the order of the table.
pub(super) fn effective(settings: &[Effective], otel: &OtelSettings) -> String {
    let mut text = String::from("# The settings in effect, and the source of each value.\n");
    for (title, entries) in SECTIONS {
        let _ = write!(text, "\n# {title}\n");
        for entry in *entries {
            let found = settings.iter().find(|it| it.name == entry.name());
            if let Some(Effective { name, toml, origin }) = found {
                let _ = writeln!(text, "{name} = {toml} # {}", source(origin));
            }
        }
    }
    text.push_str("\n# OpenTelemetry, from its standard OTEL_… variables\n");
    for (signal, target) in [
        ("metrics", &otel.metrics),
        ("traces", &otel.traces),
        ("logs", &otel.logs),
    ] {
        let _ = writeln!(text, "# {signal}: {}", exported(target.as_ref()));
    }
    if otel.metrics.is_some() {
        let millis = otel.metric_export_interval.as_millis();
        let _ = writeln!(text, "# metrics are exported every {millis} ms");
    }
    let page = if otel.prometheus { "shown" } else { "empty" };
    let _ = writeln!(text, "# /metrics: {page}");
    if otel.disabled {
        text.push_str("# the SDK is disabled: nothing is recorded\n");
    }
    text
}

fn exported(target: Option<&OtlpTarget>) -> String {
    target.map_or_else(|| "not exported".into(), |target| format!("OTLP, {target}"))
}

fn source(origin: &Origin) -> String {
    match origin {
        Origin::Default(_) => "default".into(),
        Origin::Variable(name) => format!("environment: {name}"),
        Origin::Key { file, .. } | Origin::File(file) => {
            format!("file: {}", one_line(&file.display().to_string()))
        }
    }
}

/// A setting, for the reference documentation.
#[derive(Clone, Debug)]
pub struct SettingView {
    /// The heading of its section.
    pub section: &'static str,
    /// The name in the file; the variable is `SKRIPTOTEKET_` followed by this in upper case.
    pub name: &'static str,
    /// True if it is a secret, which can also be read from a file.
    pub is_secret: bool,
    /// The value if it is not set: as it is written, or described in words.
    pub default: SettingDefault,
    /// The form of a value.
    pub expected: String,
    /// The help text.
    pub help: &'static str,
}

/// The value of a setting that is not set.
#[derive(Clone, Copy, Debug)]
pub enum SettingDefault {
    /// This value.
    Value(&'static str),
    /// A description of what is used instead.
    Words(&'static str),
}

/// Returns every setting, in the order of the table.
#[must_use]
pub fn settings() -> Vec<SettingView> {
    let view = |section: &'static str, entry: &'static dyn Entry| SettingView {
        section,
        name: entry.name(),
        is_secret: entry.is_secret(),
        default: match entry.preset() {
            Preset::Fixed(value) => SettingDefault::Value(value),
            Preset::Otherwise { what, .. } => SettingDefault::Words(what),
        },
        expected: entry.expected(),
        help: entry.help(),
    };
    SECTIONS
        .iter()
        .flat_map(|(section, entries)| entries.iter().map(move |entry| view(section, *entry)))
        .collect()
}

/// Returns a template for a configuration file: every setting with its description, commented out at its default.
#[must_use]
pub fn template() -> String {
    let mut text = format!(
        "\
# Configuration of skriptoteket.
#
# Every line shows a default, or an example if there is no fixed default; remove the # to change it.
# The environment takes precedence over this file: {} for {}, and so on.
# Durations: a whole number and ms, s, m, h or d. Secrets can be in separate files: NAME_file = \"PATH\",
# or SKRIPTOTEKET_NAME_FILE. Paths are relative to the working directory.
# OpenTelemetry is configured by its standard OTEL_… variables, in the environment only.
",
        variable("listen"),
        "listen"
    );
    for (title, entries) in SECTIONS {
        let _ = write!(text, "\n# ---- {title} ----\n");
        for entry in *entries {
            describe(&mut text, *entry);
        }
    }
    text
}

fn describe(text: &mut String, entry: &dyn Entry) {
    text.push('\n');
    for line in entry.help().lines() {
        let _ = writeln!(text, "# {line}");
    }
    let _ = writeln!(text, "# Expected: {}.", entry.expected());
    let name = entry.name();
    let value = match entry.preset() {
        Preset::Fixed(default) => default,
        Preset::Otherwise { what, example } => {
            let _ = writeln!(text, "# Default: {what}.");
            example
        }
    };
    let _ = writeln!(text, "#{name} = {}", entry.toml(value));
    if entry.is_secret() {
        let _ = writeln!(text, "# or {} = \"PATH\"", file_key(name));
    }
}
