//! The dependencies of the crates, from their manifests.

use std::{collections::BTreeSet, fs};

use skriptoteket_testing::files::{in_repository, names_in, read};
use toml::{Table, Value};

/// Each published crate, and the crates of the workspace that it may depend on.
const OWN: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("sessions", &["core"]),
    ("telemetry", &["core"]),
    ("services", &["core"]),
    ("login", &["core", "sessions"]),
    ("resource-server", &["core", "services"]),
    ("store", &["core", "login", "services", "sessions"]),
    ("redis", &["core", "login", "services", "sessions"]),
    ("config", &["core", "redis", "telemetry"]),
    (
        "actix",
        &[
            "config",
            "core",
            "login",
            "redis",
            "resource-server",
            "services",
            "sessions",
            "store",
            "telemetry",
        ],
    ),
];

/// External packages for a technology, by the start of their name, and the crates that may depend on them.
const HOMES: &[(&str, &[&str])] = &[
    ("sqlx", &[]),
    ("clap", &[]),
    ("crossterm", &[]),
    ("zxcvbn", &["login"]),
    ("argon2", &["login"]),
    ("redis", &["redis"]),
    ("actix-", &["actix"]),
    ("utoipa", &["actix"]),
    ("jsonwebtoken", &["services"]),
    ("opentelemetry_sdk", &["telemetry"]),
    ("opentelemetry-", &["telemetry"]),
    ("prometheus", &["telemetry"]),
    ("tracing-", &["telemetry"]),
    ("reqwest", &["resource-server", "telemetry"]),
];

/// Returns the names of the published crates: the directories under `crates`, without the harness of the tests.
pub(crate) fn published() -> Vec<String> {
    let mut names = names_in(&in_repository("crates"));
    names.retain(|name| name != "testing");
    names
}

/// Returns the names of the packages that a crate is built from, on any platform, optional ones included. `workspace` is the
/// manifest of the workspace.
fn dependencies(manifest: &str, workspace: &str) -> Vec<String> {
    let manifest: Table = manifest.parse().unwrap();
    let workspace: Table = workspace.parse().unwrap();
    let shared = workspace
        .get("workspace")
        .and_then(|it| it.get("dependencies"));
    let targets = manifest.get("target").and_then(Value::as_table);
    let targets = targets.into_iter().flat_map(Table::values);
    let targets = targets.filter_map(Value::as_table);
    let mut packages = Vec::new();
    for table in targets.chain([&manifest]) {
        for name in ["dependencies", "build-dependencies"] {
            let entries = table.get(name).and_then(Value::as_table);
            for (name, value) in entries.into_iter().flatten() {
                // A dependency can have another name in the manifest than its package.
                let here = value.get("package");
                let there = shared.and_then(|it| it.get(name)?.get("package"));
                let package = here.or(there).and_then(Value::as_str);
                packages.push(package.unwrap_or(name).to_owned());
            }
        }
    }
    packages
}

/// Returns what a crate with this manifest depends on and must not.
fn faults(name: &str, manifest: &str, workspace: &str) -> Vec<String> {
    let own = OWN.iter().find(|(krate, _)| *krate == name);
    let Some((_, allowed)) = own else {
        return vec![format!("{name} is not in OWN")];
    };
    let mut faults = Vec::new();
    for package in dependencies(manifest, workspace) {
        if let Some(of_ours) = package.strip_prefix("skriptoteket") {
            if !allowed.contains(&of_ours.trim_start_matches('-')) {
                faults.push(format!("{name} may not depend on {package}"));
            }
            continue;
        }
        for (start, homes) in HOMES {
            let is_it = package == *start || (start.ends_with('-') && package.starts_with(start));
            if is_it && !homes.contains(&name) {
                faults.push(format!("{name}: {package} belongs in {homes:?}"));
            }
        }
    }
    faults
}

#[test]
fn crates_depend_on_what_they_may() {
    let workspace = read("Cargo.toml");
    let mut found = BTreeSet::new();
    for name in published() {
        let manifest = read(&format!("crates/{name}/Cargo.toml"));
        super::assert_none("dependencies", &faults(&name, &manifest, &workspace));
        found.insert(name);
    }
    let listed: BTreeSet<String> = OWN.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(found, listed);
}

#[test]
fn a_forbidden_dependency_is_found_however_it_is_written() {
    let workspace =
        "[workspace.dependencies]\ndb = { package = \"sqlx\", version = \"0.9\" }\nuuid = \"1\"\n";
    for lines in [
        "[dependencies]\nskriptoteket-login.workspace = true",
        "[dependencies]\nskriptoteket = { path = \"../..\" }",
        "[dependencies]\naccounts = { package = \"skriptoteket-login\", path = \"../login\" }",
        "[dependencies]\nredis = \"1\"",
        "[dependencies]\ndata = { package = \"sqlx\", version = \"0.9\" }",
        "[dependencies]\ndb.workspace = true",
        "[dependencies]\nopentelemetry_sdk = { workspace = true, optional = true }",
        "[build-dependencies]\nclap = \"4\"",
        "[target.'cfg(unix)'.dependencies]\nactix-web = \"4\"",
    ] {
        let manifest = format!("{lines}\n");
        assert_eq!(faults("sessions", &manifest, workspace).len(), 1, "{lines}");
    }
    let harmless = "[dependencies]\nskriptoteket-core.workspace = true\nuuid.workspace = true\n[dev-dependencies]\nredis = \"1\"\n";
    assert_eq!(faults("sessions", harmless, workspace), [""; 0]);
}

#[test]
fn every_crate_has_the_lints_of_the_workspace() {
    for name in published() {
        let path = in_repository(&format!("crates/{name}/Cargo.toml"));
        let manifest: Table = fs::read_to_string(path).unwrap().parse().unwrap();
        assert_eq!(
            manifest["lints"]["workspace"].as_bool(),
            Some(true),
            "{name}"
        );
    }
}
