//! The log filter: levels and targets.

use skriptoteket_config::{Problem, forms::Form, nearest};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use super::TomlForm;

/// A filter of log lines.
pub(in crate::config) struct LogFilter;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Level names of other programs, and the corresponding levels here.
const ALIASES: [(&str, &str); 14] = [
    ("warning", "warn"),
    ("warnings", "warn"),
    ("verbose", "debug"),
    ("fine", "debug"),
    ("finest", "trace"),
    ("all", "trace"),
    ("notice", "info"),
    ("information", "info"),
    ("normal", "info"),
    ("err", "error"),
    ("critical", "error"),
    ("fatal", "error"),
    ("none", "off"),
    ("quiet", "error"),
];

/// The targets that write log lines: this service, and the crates that it uses.
const TARGETS: [&str; 26] = [
    "skriptoteket",
    "actix_http",
    "actix_rt",
    "actix_server",
    "actix_session",
    "actix_web",
    "h2",
    "hyper",
    "hyper_util",
    "jsonwebtoken",
    "log",
    "mio",
    "opentelemetry",
    "opentelemetry_otlp",
    "opentelemetry_prometheus",
    "opentelemetry_sdk",
    "redis",
    "reqwest",
    "rustls",
    "rustls_platform_verifier",
    "sqlx",
    "tokio",
    "tonic",
    "tower",
    "tracing",
    "want",
];

impl Form for LogFilter {
    type Value = String;

    fn expected(&self) -> String {
        "a level (error, warn, info, debug, trace, off) or targets with levels, for example info,skriptoteket=debug".into()
    }

    fn read(&self, text: &str) -> Result<String, Problem> {
        if let Some((word, meant)) = unknown(text) {
            let meant = meant.map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
            return Err(Problem::Expected(format!(
                "{}; {word} is neither a level nor a target that writes lines{meant}",
                self.expected()
            )));
        }
        match EnvFilter::builder().parse(text) {
            Ok(_) if !text.trim().is_empty() => Ok(text.to_owned()),
            _ => Err(self.unexpected()),
        }
    }
}

impl TomlForm for LogFilter {}

/// Returns the first word that matches neither a level nor a target, and what may have been meant.
///
/// The filter itself accepts any word as a target. A target that does not exist suppresses everything.
fn unknown(filter: &str) -> Option<(&str, Option<String>)> {
    filter.split(',').map(str::trim).find_map(|directive| {
        // Spans and fields are in brackets: `[span{field=value}]=level`.
        let target = directive.split('[').next().unwrap_or_default();
        let (target, has_level) = match target.split_once('=') {
            Some((target, _)) => (target, true),
            None => (target, directive.contains('[')),
        };
        let target = target.trim();
        if target.is_empty() || (!has_level && target.parse::<LevelFilter>().is_ok()) {
            return None;
        }
        let root = target.split("::").next().unwrap_or_default();
        if TARGETS.contains(&root) {
            return None;
        }
        let meant = meant(root, has_level);
        // A word with its own level may be the target of a crate that is missing from this list, unless it is similar
        // to a listed one.
        (!has_level || meant.is_some()).then_some((target, meant))
    })
}

fn meant(word: &str, has_level: bool) -> Option<String> {
    let lower = word.to_ascii_lowercase();
    let alias = ALIASES
        .iter()
        .find(|(alias, _)| !has_level && *alias == lower);
    if let Some((_, level)) = alias {
        return Some((*level).to_owned());
    }
    let levels = LEVELS.iter().filter(|_| !has_level);
    let known: Vec<String> = levels.chain(&TARGETS).map(|it| (*it).to_owned()).collect();
    nearest(&lower, &known).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_known_targets_pass() {
        for filter in [
            "info",
            "WARN",
            "off",
            "3",
            "info,skriptoteket=debug",
            "skriptoteket",
            "skriptoteket::store::redis=trace,warn",
            "skriptoteket[request]=debug",
            "[request{role=admin}]=trace",
            "info,some_crate=debug",
            "warn,",
        ] {
            let read = LogFilter.read(filter);
            assert!(read.is_ok(), "{filter}: {read:?}");
        }
    }

    #[test]
    fn a_word_that_would_silence_the_log_is_refused_with_what_was_meant() {
        for (filter, meant) in [
            ("warning", Some("warn")),
            ("verbose", Some("debug")),
            ("Warning", Some("warn")),
            ("inof", Some("info")),
            ("info,verbose", Some("debug")),
            ("skriptotekt", Some("skriptoteket")),
            ("skriptotekt=debug", Some("skriptoteket")),
            ("skriptoteket-store=debug,warning", Some("warn")),
            ("loud", None),
            ("zzzzzzzz", None),
        ] {
            let why = LogFilter.read(filter).unwrap_err().to_string();
            assert!(why.contains("neither a level"), "{filter}: {why}");
            if let Some(meant) = meant {
                assert!(why.ends_with(&format!("did you mean {meant}?")), "{why}");
            }
        }
        for filter in ["", " ", "a=b=c", "info,skriptoteket=loud"] {
            LogFilter.read(filter).unwrap_err();
        }
    }
}
