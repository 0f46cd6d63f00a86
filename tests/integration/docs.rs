//! Checks the README, the boards, the rules and the runbooks against the program.

use std::{
    collections::BTreeSet,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use skriptoteket::{
    catalogue,
    config::{self, SettingDefault},
    metric::{Attribute, Kind, Metric, SERVICE_LABELS, Scope, Values},
};

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// Compares a generated file of the repository with its expected content. With `UPDATE_REFERENCE=1` in the environment
/// (`make reference`), writes the file instead.
#[expect(
    clippy::disallowed_methods,
    reason = "a switch of `make reference`, not a setting"
)]
fn assert_generated(file: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        fs::write(path, expected).unwrap();
        return;
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == expected,
        "{file} is outdated: `make reference` regenerates it"
    );
}

#[test]
fn the_catalogue_as_json_is_that_of_the_program() {
    let json = serde_json::to_string_pretty(&catalogue::views()).unwrap();
    assert_generated("docs/metrics.json", &format!("{json}\n"));
}

#[test]
fn the_reference_of_metrics_is_the_catalogue() {
    assert_generated("docs/metrics.md", &metrics_reference());
}

fn metrics_reference() -> String {
    let mut text = String::from(
        "<!-- Written by `make reference`. Edit the declarations in the `metrics` modules instead. -->\n\n# Metrics\n\n",
    );
    text.push_str(METRICS_INTRODUCTION);
    text.push_str("\n| metric | type | labels | scope | description |\n|---|---|---|---|---|\n");
    for metric in catalogue::all() {
        let labels: Vec<String> = metric.attributes.iter().map(Attribute::label).collect();
        let labels: Vec<String> = labels.iter().map(|it| format!("`{it}`")).collect();
        let kind = match metric.kind {
            Kind::Counter | Kind::ObservableCounter => "counter",
            Kind::ObservableGauge | Kind::ObservableUpDownCounter => "gauge",
            Kind::Histogram => "histogram",
        };
        writeln!(
            text,
            "| `{}` | {kind} | {} | {} | {} |",
            metric.prometheus(),
            labels.join(", "),
            metric.scope.as_str(),
            metric.description
        )
        .unwrap();
    }
    text.push_str("\n## Label values\n\n| label | of | values |\n|---|---|---|\n");
    let mut seen: Vec<(Attribute, Vec<String>)> = Vec::new();
    for metric in catalogue::all() {
        for attribute in metric.attributes {
            let name = format!("`{}`", metric.prometheus());
            match seen.iter_mut().find(|(it, _)| it == attribute) {
                Some((_, metrics)) => metrics.push(name),
                None => seen.push((*attribute, vec![name])),
            }
        }
    }
    for (attribute, metrics) in seen {
        let values = match attribute.values {
            Values::Closed(values) => {
                let values = values.iter().map(|it| match *it {
                    "" => String::from("absent"),
                    value => format!("`{value}`"),
                });
                values.collect::<Vec<_>>().join(", ")
            }
            Values::Bounded(words) => words.to_owned(),
            Values::Service => {
                format!(
                    "the IDs of registered services, or `_other`; at most {SERVICE_LABELS} values in a process"
                )
            }
        };
        writeln!(
            text,
            "| `{}` | {} | {values} |",
            attribute.label(),
            metrics.join(", ")
        )
        .unwrap();
    }
    text
}

const METRICS_INTRODUCTION: &str = "\
The names are the same on `/metrics` and in the Prometheus exporter of the OpenTelemetry Collector. `skriptoteket metrics` prints this
list; with `--json`, in a form for programs ([metrics.json](metrics.json)).

*Per instance* values belong to one process: aggregate them with `sum`. *Service-wide* values come from the shared store and are exported
by one replica at a time: aggregate them with `max`. [Replicas](replicas.md) has the queries.

Every counter exists at 0 before its first event. Counters of services exist for `_other` from the start, and for each service from the
time at which the process first reads it from the register. Service-wide metrics exist from the first count on and are absent while the
store does not answer. `skriptoteket_rate_limit_current` and `…_allowed` exist from the first charged request on. For every role,
sessions started minus sessions ended equals live sessions, also across restarts.
";

#[test]
fn the_variables_of_opentelemetry_are_told() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/telemetry.md");
    let text = fs::read_to_string(path).unwrap();
    let told: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("| `OTEL_"))
        .collect();
    let read = config::OTEL_VARIABLES.iter().map(|it| {
        let mark = if it.per_signal { " \\*" } else { "" };
        format!("| `{}`{mark} | {} | {} |", it.name, it.default, it.meaning)
    });
    let others = config::OTEL_WITHOUT_EFFECT.iter();
    let others = others.map(|(name, instead)| format!("| `{name}` | {instead} |"));
    assert_eq!(told, read.chain(others).collect::<Vec<_>>());
}

#[test]
fn the_reference_of_settings_is_the_table_of_the_program() {
    assert_generated("docs/configuration.md", &settings_reference());
}

fn settings_reference() -> String {
    let mut text = String::from(
        "<!-- Written by `make reference`. Edit the table in src/config/settings.rs instead. -->\n\n# Configuration\n\n",
    );
    text.push_str(SETTINGS_INTRODUCTION);
    let mut section = "";
    for setting in config::all_settings() {
        if setting.section != section {
            section = setting.section;
            let heading = section[..1].to_uppercase() + &section[1..];
            writeln!(
                text,
                "\n## {heading}\n\n| setting | default | values | meaning |\n|---|---|---|---|"
            )
            .unwrap();
        }
        let mark = if setting.is_secret { " \\*" } else { "" };
        let default = match setting.default {
            SettingDefault::Value("") => String::from("none"),
            SettingDefault::Value(value) => format!("`{value}`"),
            SettingDefault::Words(words) => words.to_owned(),
        };
        let cell = |text: &str| text.replace('\n', " ").replace('|', "\\|");
        writeln!(
            text,
            "| `{}`{mark} | {} | {} | {} |",
            setting.name,
            cell(&default),
            cell(&setting.expected),
            cell(setting.help)
        )
        .unwrap();
    }
    text
}

const SETTINGS_INTRODUCTION: &str = "\
Settings come from `skriptoteket.toml` and from environment variables; the environment takes precedence. `listen` in the file is
`SKRIPTOTEKET_LISTEN` in the environment. A secret (marked \\*) can also be read from a file: `cookie_key_file`,
`SKRIPTOTEKET_COOKIE_KEY_FILE`. Durations are written `500ms`, `5s`, `30m`, `12h`, `30d`.

`skriptoteket config init FILE` writes a commented file, `config check` reports all errors at once, and `config show` prints the settings
in effect and where each comes from. Settings are read at the start.

OpenTelemetry has its own standard variables: [telemetry settings](telemetry.md).
";

#[test]
fn what_the_readme_links_to_is_there() {
    let readme = readme();
    let links = readme.split("](").skip(1);
    let links: Vec<_> = links.filter_map(|rest| rest.split(')').next()).collect();
    let files: Vec<_> = links
        .iter()
        .filter(|link| !link.starts_with("https://"))
        .collect();
    assert!(files.len() >= 3, "{links:?}");
    for file in files {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        assert!(path.exists(), "{file}");
    }
}

#[test]
fn the_readme_has_the_two_commands() {
    let readme = readme();
    let (_, section) = readme.split_once("\n## Two commands\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let commands: Vec<_> = section.split("```sh\n").skip(1).collect();
    let commands: Vec<_> = commands
        .iter()
        .map(|it| it.split('\n').next().unwrap())
        .collect();
    assert_eq!(commands, ["cargo run --release -- demo", "make test"]);
}

/// Returns all files below these folders with their content.
fn texts(folders: &[&str]) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it != "png") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found
}

/// The names of all metrics.
static LISTED: LazyLock<BTreeSet<String>> =
    LazyLock::new(|| catalogue::all().map(Metric::prometheus).collect());

fn listed() -> BTreeSet<&'static str> {
    LISTED.iter().map(String::as_str).collect()
}

/// Returns the names of metrics in a text, without the suffixes of histogram series.
fn metrics(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && !"_:".contains(c));
    // A path of Rust, as in the target of a log line, begins with the name of a crate.
    let words = words.filter(|word| !word.contains("::"));
    let names = words.flat_map(|word| word.split(':')).filter(|word| {
        let ours = word.starts_with("skriptoteket_") || word.starts_with("http_server_");
        // A prefix, as in a pattern.
        ours && !word.ends_with('_')
    });
    let whole = |name: &&str| LISTED.contains(*name);
    let of_histogram = |name| {
        let suffixes = ["_bucket", "_count", "_sum"];
        let ends = suffixes.iter().find_map(|it| str::strip_suffix(name, it));
        ends.filter(whole).unwrap_or(name)
    };
    names.map(of_histogram).collect()
}

#[test]
fn every_metric_of_rules_boards_and_documents_is_in_the_catalogue() {
    let listed = listed();
    let mut asked = 0;
    for (path, text) in texts(&["prometheus", "grafana/dashboards", "docs"]) {
        let names = metrics(&text);
        let unknown: Vec<_> = names.difference(&listed).collect();
        assert!(unknown.is_empty(), "{}: {unknown:?}", path.display());
        asked += names.len();
    }
    assert!(asked > 50, "only {asked} names were found");
}

/// Returns the name and the expression of every recording rule.
fn recorded(rules: &[(PathBuf, String)]) -> Vec<(&str, &str)> {
    let texts = rules.iter().map(|(_, text)| text.as_str());
    let records = texts.flat_map(|text| text.split("- record: ").skip(1));
    let mut found = Vec::new();
    for record in records {
        let (name, rest) = record.split_once('\n').unwrap();
        let ends = ["- record:", "- alert:", "- name:"];
        let ends = ends.iter().filter_map(|it| rest.find(it));
        found.push((name, &rest[..ends.min().unwrap_or(rest.len())]));
    }
    found
}

#[test]
fn every_metric_of_the_catalogue_is_on_a_board() {
    let boards = texts(&["grafana/dashboards"]);
    let rules = texts(&["prometheus/rules"]);
    let mut shown: BTreeSet<&str> = boards.iter().flat_map(|(_, text)| metrics(text)).collect();
    for (name, expression) in recorded(&rules) {
        if boards.iter().any(|(_, text)| text.contains(name)) {
            shown.extend(metrics(expression));
        }
    }
    let listed = listed();
    let missing: Vec<_> = listed.difference(&shown).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Returns whether `text` queries this metric over a time range: `name[…]` or `name{…}[…]`.
fn asks_over_a_range(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let rest = &text[at + name.len()..];
        let rest = match rest.strip_prefix('{') {
            Some(matchers) => matchers.split_once('}').map_or("", |(_, rest)| rest),
            None => rest,
        };
        rest.starts_with('[')
    })
}

#[test]
fn the_increase_of_a_total_of_the_whole_service_is_that_of_the_recorded_maximum() {
    let service_wide = catalogue::all().filter(|it| it.scope == Scope::ServiceWide);
    let totals: Vec<String> = service_wide
        .map(Metric::prometheus)
        .filter(|name| name.ends_with("_total"))
        .collect();
    assert!(totals.len() >= 4, "{totals:?}");
    let rules = texts(&["prometheus/rules"]);
    for name in &totals {
        let mut records = recorded(&rules).into_iter();
        let maximum = records.any(|(record, expression)| {
            record.ends_with(":max")
                && expression.contains("max by (job")
                && expression.contains(name)
        });
        assert!(maximum, "no rule records the maximum of {name}");
    }
    for (path, text) in texts(&["prometheus/rules", "grafana/dashboards", "docs"]) {
        for name in &totals {
            let parted = asks_over_a_range(&text, name);
            assert!(!parted, "{}: {name} over a range", path.display());
        }
    }
}

#[test]
fn runbooks_with_commands_say_how_to_run_them_in_other_installations() {
    for (path, text) in texts(&["docs/runbooks"]) {
        let mut blocks = text.split("```sh\n").skip(1);
        let ours = blocks.any(|block| {
            let block = block.split("```").next().unwrap();
            block
                .lines()
                .any(|line| line.trim_start().starts_with("skriptoteket "))
        });
        let told = text.contains("docker compose exec -T app") && text.contains("kubectl exec");
        assert!(!ours || told, "{}", path.display());
    }
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let rules = texts(&["prometheus/rules"]);
    let lines = rules.iter().flat_map(|(_, text)| text.lines());
    let alerts: BTreeSet<&str> = lines
        .filter_map(|line| line.trim_start().strip_prefix("- alert: "))
        .collect();
    let runbooks = texts(&["docs/runbooks"]);
    let told: BTreeSet<&str> = runbooks
        .iter()
        .map(|(path, _)| path.file_stem().unwrap().to_str().unwrap())
        .collect();
    assert!(alerts.len() > 15, "{alerts:?}");
    assert_eq!(told, alerts);
    for (path, text) in &runbooks {
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(text.starts_with(&format!("# {name}\n")), "{name}");
    }
}
