//! `config`, help, completions, and the errors of an invalid configuration.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

use crate::cli::harness::Harness;

#[test]
fn a_valid_configuration_is_said_to_be_valid() {
    assert_eq!(
        Harness::new().done(&["config", "check"]),
        "configuration is valid\n"
    );
}

#[test]
fn every_fault_is_a_line_and_no_secret_is_in_it() {
    let harness = Harness::new()
        .with("SKRIPTOTEKET_CENSUS_INTERVAL", "5")
        .with("SKRIPTOTEKET_COOKIE_KEY", "planted-secret")
        .with("SKRIPTOTEKET_LISTN", "x")
        .with("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json");
    harness.write("skriptoteket.toml", "workers = 0\n");
    // All commands that need a configuration report the same errors.
    for arguments in [
        &["config", "check"][..],
        &["config", "show"],
        &["user", "list"],
        &["serve"],
    ] {
        let faults = harness.refused(arguments, 2);
        let lines: Vec<&str> = faults.lines().collect();
        assert_eq!(lines.len(), 5, "{faults}");
        assert!(
            lines.iter().all(|line| line.starts_with("error: ")),
            "{faults}"
        );
        for named in [
            "SKRIPTOTEKET_CENSUS_INTERVAL = \"5\"",
            "SKRIPTOTEKET_COOKIE_KEY: expected",
            "did you mean SKRIPTOTEKET_LISTEN?",
            "OTEL_EXPORTER_OTLP_PROTOCOL = \"http/json\"",
            "skriptoteket.toml: workers = 0",
        ] {
            assert!(faults.contains(named), "{named} in {faults}");
        }
        assert!(!faults.contains("planted-secret"), "{faults}");
    }
}

#[test]
fn the_file_is_that_of_the_argument_wherever_it_stands() {
    let harness = Harness::new();
    harness.write("other.toml", "workers = 0\n");
    for arguments in [
        ["--config", "other.toml", "config", "check"],
        ["config", "check", "--config", "other.toml"],
    ] {
        let faults = harness.refused(&arguments, 2);
        assert!(
            faults.starts_with("error: other.toml: workers = 0: "),
            "{faults}"
        );
    }
    let faults = harness.refused(&["--config", "missing.toml", "config", "check"], 2);
    assert!(faults.starts_with("error: missing.toml: "), "{faults}");
}

#[test]
fn a_started_file_changes_nothing_and_is_shown_with_its_sources() {
    let harness = Harness::new().with("SKRIPTOTEKET_METRICS_TOKEN", "planted-secret");
    let before = harness.done(&["config", "show"]);
    let file = harness.done(&["config", "init"]);
    harness.write("skriptoteket.toml", &file);
    assert_eq!(harness.done(&["config", "show"]), before);
    harness.write("skriptoteket.toml", &format!("{file}\nworkers = 3\n"));
    let shown = harness.done(&["config", "show"]);
    assert!(
        shown.contains("workers = 3 # file: skriptoteket.toml"),
        "{shown}"
    );
    assert!(shown.contains("metrics_token = \"(set)\""), "{shown}");
    assert!(!shown.contains("planted-secret"));
    let table: toml::Table = shown.parse().unwrap();
    assert_eq!(table["argon2_memory_kib"].as_integer(), Some(8));
}

#[test]
fn a_started_file_is_for_its_owner_and_replaces_nothing() {
    let harness = Harness::new();
    let said = harness.done(&["config", "init", "skriptoteket.toml"]);
    assert_eq!(said, "wrote skriptoteket.toml\n");
    let file = harness.path("skriptoteket.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text, harness.done(&["config", "init"]));
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "the file may hold secrets later");

    harness.write("skriptoteket.toml", "workers = 3\n");
    symlink(harness.path("nowhere.toml"), harness.path("link.toml")).unwrap();
    for name in ["skriptoteket.toml", "link.toml"] {
        let said = harness.refused(&["config", "init", name], 2);
        let told = format!("error: {name}: already exists and was not changed; name a new file");
        assert!(said.starts_with(&told), "{said}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "workers = 3\n");
    assert!(!harness.path("nowhere.toml").exists());
    let said = harness.refused(&["config", "init", "missing/skriptoteket.toml"], 1);
    assert!(said.contains("a directory that exists"), "{said}");
}

#[test]
fn help_teaches_and_tells_the_exit_codes() {
    let harness = Harness::new();
    let help = harness.done(&["--help"]);
    for part in [
        "Exit codes:",
        "Examples:",
        "user",
        "session",
        "audit",
        "config",
        "serve",
        "healthcheck",
    ] {
        assert!(help.contains(part), "{part}");
    }
    assert!(
        harness
            .done(&["user", "add", "--help"])
            .contains("Examples:")
    );
    assert!(harness.done(&["--version"]).starts_with("skriptoteket 0."));
}

#[test]
fn a_wrong_command_line_is_2() {
    let harness = Harness::new();
    for arguments in [
        &[][..],
        &["frobnicate"],
        &["user"],
        &["config", "check", "--quick"],
    ] {
        harness.refused(arguments, 2);
    }
}

#[test]
fn completions_are_made_for_every_shell() {
    let harness = Harness::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = harness.done(&["completions", shell]);
        assert!(script.contains("healthcheck"), "{shell}");
    }
    harness.refused(&["completions", "command.com"], 2);
}
