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

/// Returns the names of the packages that a crate is built from, optional ones included.
fn dependencies(manifest: &str) -> Vec<String> {
    let manifest: Table = manifest.parse().unwrap();
    let tables = [
        manifest.get("dependencies"),
        manifest.get("build-dependencies"),
    ];
    let tables = tables.into_iter().flatten().filter_map(Value::as_table);
    let entries = tables.flat_map(|it| it.iter());
    // A dependency can have another name in the manifest than its package.
    let name = |(name, value): (&String, &Value)| {
        let package = value.get("package").and_then(Value::as_str);
        package.unwrap_or(name).to_owned()
    };
    entries.map(name).collect()
}

/// Returns what a crate with this manifest depends on and must not.
fn faults(name: &str, manifest: &str) -> Vec<String> {
    let own = OWN.iter().find(|(krate, _)| *krate == name);
    let Some((_, allowed)) = own else {
        return vec![format!("{name} is not in OWN")];
    };
    let mut faults = Vec::new();
    for package in dependencies(manifest) {
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
    let mut found = BTreeSet::new();
    for name in published() {
        let manifest = read(&format!("crates/{name}/Cargo.toml"));
        super::assert_none("dependencies", &faults(&name, &manifest));
        found.insert(name);
    }
    let listed: BTreeSet<String> = OWN.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(found, listed);
}

#[test]
fn a_forbidden_dependency_is_found_however_it_is_written() {
    for line in [
        "skriptoteket-login.workspace = true",
        "skriptoteket = { path = \"../..\" }",
        "accounts = { package = \"skriptoteket-login\", path = \"../login\" }",
        "redis = \"1\"",
        "db = { package = \"sqlx\", version = \"0.9\" }",
        "opentelemetry_sdk = { workspace = true, optional = true }",
        "actix-web = \"4\"",
    ] {
        let manifest = format!("[dependencies]\nskriptoteket-core.workspace = true\n{line}\n");
        assert_eq!(faults("sessions", &manifest).len(), 1, "{line}");
    }
    let harmless = "[dependencies]\nuuid = \"1\"\n[dev-dependencies]\nredis = \"1\"\n";
    assert_eq!(faults("sessions", harmless), [""; 0]);
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
