//! Checks the layers of `src/` from the sources.
//!
//! [`LAYERS`] is the order that `src/lib.rs` describes: a module may only use modules of lower layers. [`HOMES`]
//! restricts each external crate for a technology to the modules that own it. Within a module, siblings must not depend
//! on each other in a cycle.

mod modules;
mod paths;

use std::{collections::BTreeMap, path::Path};

use modules::{Modules, circles};
use paths::{Source, all_sources};

/// Layers, the lowest first.
const LAYERS: &[&[&str]] = &[
    &[
        "clock",
        "duration_text",
        "error",
        "metric",
        "network",
        "wait_budget",
    ],
    &["user"],
    &["observer_state", "repeats"],
    &["telemetry"],
    &["accounts"],
    &["audit", "guard", "services"],
    &["detached"],
    &["sessions", "resource_server"],
    &["account_lifecycle"],
    &["login"],
    &["store", "http"],
    &["catalogue", "config"],
    &["app"],
    &["cli"],
];

/// External crates, by the start of their name, and the modules that may use them.
const HOMES: &[(&str, &[&str])] = &[
    ("opentelemetry_", &["telemetry"]),
    ("prometheus", &["telemetry"]),
    ("sqlx", &["store"]),
    ("redis", &["store"]),
    ("actix_", &["http", "app"]),
    ("clap", &["cli"]),
    ("jsonwebtoken", &["services"]),
    ("reqwest", &["resource_server", "cli", "telemetry"]),
];

/// Modules of the standard library, and the modules or crates that may use them.
const STANDARD_HOMES: &[(&[&str], &[&str])] = &[(&["std", "env"], &["skriptoteket_config"])];

/// The maximum length of a file, in lines. The aim is 400.
const LONGEST_FILE: usize = 500;

fn sources() -> Vec<Source> {
    all_sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

fn assert_none(rule: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{rule}:\n  {}", faults.join("\n  "));
}

/// Returns uses of modules of the same or a higher layer.
fn upward_uses(sources: &[Source]) -> Vec<String> {
    let mut layers = BTreeMap::new();
    for (layer, names) in LAYERS.iter().enumerate() {
        layers.extend(names.iter().map(|name| (*name, layer)));
    }
    let modules = Modules::of(sources);
    let mut faults = Vec::new();
    for source in sources {
        let place = &source.place;
        let own = match source.module.first() {
            None => continue,
            Some(name) if name == "main" => continue,
            Some(name) => name.as_str(),
        };
        let Some(own_layer) = layers.get(own) else {
            faults.push(format!("{place}: {own} is not in LAYERS"));
            continue;
        };
        for named in &source.named {
            let target = modules.leads_to(named).unwrap_or_default();
            let Some(used) = target.first().map(String::as_str) else {
                continue;
            };
            match layers.get(used) {
                None => faults.push(format!("{place}: {used} is not in LAYERS")),
                Some(layer) if used != own && layer >= own_layer => {
                    faults.push(format!("{place}: {own} may not use {used}"));
                }
                Some(_) => {}
            }
        }
    }
    faults.sort();
    faults.dedup();
    faults
}

/// Returns uses of external crates outside their homes.
fn strangers(sources: &[Source]) -> Vec<String> {
    let modules = Modules::of(sources);
    let mut faults = Vec::new();
    for source in sources {
        let own = source.module.first().map_or("lib", String::as_str);
        for named in &source.named {
            let first = named.segments.first().map_or("", String::as_str);
            // A module of the crate may have the name of an external crate.
            if modules.leads_to(named).is_some() || first == "super" || first == "self" {
                continue;
            }
            for (krate, homes) in HOMES {
                let is_it = first == *krate || (krate.ends_with('_') && first.starts_with(krate));
                if is_it && !homes.contains(&own) {
                    faults.push(format!("{}: {first} belongs in {homes:?}", source.place));
                }
            }
            for (path, homes) in STANDARD_HOMES {
                let is_it = named.segments.len() >= path.len()
                    && named.segments.iter().zip(*path).all(|(a, b)| a == b);
                if is_it && !homes.contains(&own) {
                    faults.push(format!(
                        "{}: {} belongs in {homes:?}",
                        source.place,
                        path.join("::")
                    ));
                }
            }
        }
    }
    faults.sort();
    faults.dedup();
    faults
}

#[test]
fn a_module_uses_lower_layers_only() {
    assert_none("layers", &upward_uses(&sources()));
}

#[test]
fn external_crates_stay_in_their_homes() {
    assert_none("homes", &strangers(&sources()));
}

#[test]
fn siblings_do_not_use_each_other_in_a_circle() {
    let name = |module: &Vec<String>| module.join("::");
    let circles = circles(&sources());
    let circles = circles
        .iter()
        .map(|it| it.iter().map(name).collect::<Vec<_>>().join(", "));
    assert_none("circles", &circles.collect::<Vec<_>>());
}

#[test]
fn every_file_can_be_read_in_one_sitting() {
    let long = sources()
        .into_iter()
        .filter(|source| source.lines > LONGEST_FILE)
        .map(|source| format!("{}: {} lines", source.place, source.lines));
    assert_none("too long", &long.collect::<Vec<_>>());
}

/// Returns the real sources, with these lines appended to one of them.
fn with(place: &str, lines: &str) -> Vec<Source> {
    let mut all = sources();
    let at = all.iter().position(|it| it.place == place).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src")
        .join(place);
    let text = std::fs::read_to_string(path).unwrap();
    all[at] = Source::read(place, &format!("{text}\n{lines}\n"));
    all
}

#[test]
fn an_upward_use_is_found_however_it_is_written() {
    for lines in [
        "use crate::store::Stores;",
        "use crate::{clock::Clock as Time, store::Stores as Kept};",
        "use super::super::store::Stores;",
        "use super::{super::store, policy::SessionPolicy};",
        "fn planted() { crate::store::planted(); }",
        "fn planted() -> super::super::login::LoginError { todo!() }",
        "fn planted() { println!(\"http://x\"); crate::http::planted(); }",
        "fn planted() { assert!(crate::http::planted()); }",
        "mod inline { use super::super::super::store::Stores; }",
    ] {
        let faults = upward_uses(&with("sessions/policy.rs", lines));
        assert_eq!(faults.len(), 1, "{lines}: {faults:?}");
    }
    let harmless = "// crate::store\nfn planted() -> &'static str { \"crate::store::Stores\" }";
    assert!(upward_uses(&with("sessions/policy.rs", harmless)).is_empty());
}

#[test]
fn an_external_crate_is_found_however_it_is_written() {
    for lines in [
        "use sqlx::Pool;",
        "use ::sqlx::Pool;",
        "use sqlx as db;",
        "extern crate sqlx;",
        "extern crate sqlx as db;",
        "fn planted() { sqlx::query(\"\"); }",
        "fn planted() { ::sqlx::query(\"\"); }",
        "fn planted() { let _ = \"http://x\"; assert!(sqlx::query(\"\")); }",
        "use std::{env};",
        "use ::redis::Client;",
        "use actix_web as web;",
    ] {
        let faults = strangers(&with("login/record.rs", lines));
        assert_eq!(faults.len(), 1, "{lines}: {faults:?}");
    }
}

#[test]
fn a_circle_is_found_through_a_reexport() {
    for lines in [
        "use super::Sessions;",
        "use super::service::Sessions;",
        "fn planted(_: &super::Sessions) {}",
        "fn planted(_: &crate::sessions::Sessions) {}",
    ] {
        let found = circles(&with("sessions/policy.rs", lines));
        assert_eq!(found.len(), 1, "{lines}: {found:?}");
    }
}
