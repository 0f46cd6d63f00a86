//! `config show` and `config init`.

use super::*;

#[test]
fn the_template_changes_nothing() {
    let written = Written::file(&template());
    let (mut from_template, from_nothing) = (written.load().unwrap(), from_env([]).unwrap());
    assert!(from_template.file.take().is_some());
    assert_eq!(format!("{from_template:?}"), format!("{from_nothing:?}"));
}

#[test]
fn the_template_shows_every_setting_at_its_default() {
    let lines = template();
    let settings = lines.lines().filter_map(|line| line.strip_prefix('#'));
    let settings = settings.filter(|line| !line.starts_with([' ', '#']) && !line.is_empty());
    let uncommented: Vec<&str> = settings.collect();
    let table: toml::Table = uncommented.join("\n").parse().unwrap();
    let mut names: Vec<&str> = settings::all().map(settings::Entry::name).collect();
    names.sort_unstable();
    let mut shown: Vec<&str> = table.keys().map(String::as_str).collect();
    shown.sort_unstable();
    assert_eq!(shown, names);

    // Setting those with a fixed default to that value changes nothing either. The others show an example, or have to
    // be filled in, because a published secret is not a secret.
    let fixed =
        settings::all().filter(|entry| matches!(entry.preset(), settings::Preset::Fixed(_)));
    let line = |entry: &dyn settings::Entry| format!("{} = {}", entry.name(), table[entry.name()]);
    let fixed: Vec<String> = fixed.map(line).collect();
    let written = Written::file(&fixed.join("\n"));
    let (mut read, default) = (written.load().unwrap(), from_env([]).unwrap());
    assert!(read.file.take().is_some());
    assert_eq!(format!("{read:?}"), format!("{default:?}"));
    let examples = Written::file(&uncommented.join("\n"));
    let refused = examples.load().unwrap_err().to_string();
    for secret in ["cookie_key", "metrics_token", "bootstrap_password"] {
        assert!(
            refused.contains(&format!("skriptoteket.toml: {secret}: expected ")),
            "{refused}"
        );
    }
    assert_eq!(refused.lines().count(), 3, "{refused}");
}

#[test]
fn what_is_in_force_is_toml_with_every_setting_and_its_source() {
    let written =
        Written::file("max_sessions_per_user = 4\nlog = \"info,sqlx=warn\"\ntrusted_proxies = []");
    let environment = env([
        ("SKRIPTOTEKET_CENSUS_INTERVAL", "7s"),
        ("SKRIPTOTEKET_METRICS_TOKEN", "token"),
    ]);
    let shown = show(Some(&written.path()), &environment).unwrap();
    let table: toml::Table = shown.parse().unwrap();
    for entry in settings::all() {
        assert!(table.contains_key(entry.name()), "{}", entry.name());
    }
    assert_eq!(table["census_interval"].as_str(), Some("7s"));
    assert_eq!(table["max_sessions_per_user"].as_integer(), Some(4));
    assert_eq!(table["metrics_token"].as_str(), Some("(set)"));
    assert_eq!(table["cookie_key"].as_str(), Some("(not set)"));
    assert_eq!(table["public_url"].as_str(), Some("http://127.0.0.1:8080"));
    assert_eq!(table["trusted_proxies"].as_array().map(Vec::len), Some(0));
    let line = |start: &str| shown.lines().find(|line| line.starts_with(start)).unwrap();
    assert_eq!(
        line("census_interval"),
        "census_interval = \"7s\" # environment: SKRIPTOTEKET_CENSUS_INTERVAL"
    );
    assert!(
        line("log ").ends_with("skriptoteket.toml"),
        "{}",
        line("log ")
    );
    assert_eq!(line("workers").split(" # ").nth(1), Some("default"));
    assert_eq!(line("# metrics:"), "# metrics: not exported");
    assert!(!shown.contains("metrics are exported every"), "{shown}");
    let environment = env([("OTEL_METRICS_EXPORTER", "otlp")]);
    let shown = show(None, &environment).unwrap();
    assert!(
        shown.contains("# metrics are exported every 15000 ms"),
        "{shown}"
    );
}

#[test]
fn a_text_with_every_kind_of_character_is_shown_as_toml() {
    let environment = env([("SKRIPTOTEKET_DATA_DIR", "a \"b\" \\ \t \u{7f} ü # c")]);
    let table: toml::Table = show(None, &environment).unwrap().parse().unwrap();
    assert_eq!(
        table["data_dir"].as_str(),
        Some("a \"b\" \\ \t \u{7f} ü # c")
    );
}
