//! What the README says, held against the program.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests fail loudly")]

use std::{collections::BTreeSet, fs, path::Path};

use skriptoteket::{
    config,
    telemetry::instruments::{CATALOGUE, Instrument, Scope, Values},
};

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// The cells of the table rows of the section with this title.
fn rows(title: &str) -> Vec<Vec<String>> {
    let readme = readme();
    let (_, section) = readme.split_once(&format!("\n## {title}\n")).expect(title);
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with('|'));
    let cells = |row: &str| {
        let row = row.trim_matches('|');
        row.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    rows.map(cells).collect()
}

/// What stands in backquotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn described(instrument: &Instrument) -> Vec<String> {
    let labels = instrument.attributes.iter();
    let labels = labels.map(|it| format!("`{}`", it.key.replace('.', "_")));
    vec![
        format!("`{}`", instrument.prometheus),
        labels.collect::<Vec<_>>().join(", "),
        instrument.meaning.to_owned(),
        match instrument.scope {
            Scope::ServiceWide => String::from("service-wide"),
            Scope::PerInstance => String::from("per instance"),
        },
    ]
}

#[test]
fn the_table_of_metrics_is_the_catalogue() {
    let told: Vec<_> = rows("Metrics")
        .into_iter()
        .filter(|row| row.len() == 4 && row[0].starts_with('`'))
        .collect();
    let real: Vec<_> = CATALOGUE.iter().map(described).collect();
    assert_eq!(told, real);
}

#[test]
fn the_values_of_labels_are_those_of_the_catalogue() {
    let told: Vec<Vec<String>> = rows("Metrics")
        .into_iter()
        .filter(|row| row.len() == 2)
        .map(|row| quoted(&row[1]).into_iter().map(str::to_owned).collect())
        .collect();
    let closed: Vec<Vec<String>> = CATALOGUE
        .iter()
        .flat_map(|instrument| instrument.attributes)
        .filter(|attribute| ["role", "status", "reason"].contains(&attribute.key))
        .filter_map(|attribute| match attribute.values {
            Values::Closed(values) => Some(values.iter().map(|it| (*it).to_owned()).collect()),
            Values::Bounded(_) => None,
        })
        .collect();
    for values in &closed {
        assert!(told.contains(values), "{values:?}");
    }
    for values in told.iter().filter(|values| !values.is_empty()) {
        assert!(closed.contains(values), "{values:?}");
    }
}

#[test]
fn the_table_of_settings_has_every_setting_and_no_other() {
    let rows = rows("Configuration");
    let rows = rows.iter().filter(|row| row[0].starts_with('`'));
    let told: BTreeSet<&str> = rows.flat_map(|row| quoted(&row[0])).collect();
    let template = config::template();
    let real: BTreeSet<&str> = template
        .lines()
        .filter_map(|line| line.trim_start_matches(['#', ' ']).split_once(" = "))
        .map(|(name, _)| name)
        .filter(|name| !name.contains(' ') && !name.ends_with("_file"))
        .collect();
    assert!(real.len() > 20, "the template was read");
    assert_eq!(told, real);
}

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
