//! Checks what the compiler does not enforce, from the sources and manifests.
//!
//! * Between crates: `crates` has the dependencies that each crate of the workspace may have.
//! * In the root package: [`LAYERS`] is the order that `src/lib.rs` describes, and a module may only use modules of lower
//!   layers; [`HOMES`] restricts each external crate for a technology to the modules that own it.
//! * Everywhere: siblings must not depend on each other in a cycle, the environment is read in one crate, and no file is
//!   too long.

mod crates;
mod modules;
mod paths;

use std::{collections::BTreeMap, path::Path};

use modules::{Modules, circles};
use paths::{Source, all_sources};

/// Layers of the root package, the lowest first.
const LAYERS: &[&[&str]] = &[
    &["store", "http"],
    &["pages"],
    &["catalogue", "config"],
    &["app"],
    &["cli"],
];

/// External crates, by the start of their name, and the modules of the root package that may use them.
const HOMES: &[(&str, &[&str])] = &[
    ("sqlx", &["store"]),
    ("actix_", &["http", "pages", "app"]),
    ("clap", &["cli"]),
    ("crossterm", &["cli"]),
    ("reqwest", &["cli"]),
];

/// The crate that reads the environment.
const READS_ENVIRONMENT: &str = "config";

/// The maximum length of a file, in lines.
const LONGEST_FILE: usize = 400;

/// Returns the sources of the root package.
fn sources() -> Vec<Source> {
    sources_of("src")
}

/// Returns the sources in a directory, given from the root of the repository.
fn sources_of(directory: &str) -> Vec<Source> {
    all_sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(directory))
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

/// Returns the places that read the environment.
fn readers_of_the_environment(sources: &[Source]) -> Vec<String> {
    let reads = |source: &&Source| {
        let names = source.named.iter();
        let mut names = names.filter(|it| !it.is_test);
        names.any(|it| {
            it.segments
                .starts_with(&["std".to_owned(), "env".to_owned()])
        })
    };
    let places = sources.iter().filter(|it| !it.is_test).filter(reads);
    places.map(|it| it.place.clone()).collect()
}

#[test]
fn the_environment_is_read_in_one_crate() {
    let mut readers = readers_of_the_environment(&sources());
    for name in crates::published() {
        if name != READS_ENVIRONMENT {
            readers.extend(readers_of_the_environment(&sources_of(&format!(
                "crates/{name}/src"
            ))));
        }
    }
    assert_none("std::env", &readers);
    for lines in [
        "use std::env;",
        "use std::{env as process};",
        "fn planted() { std::env::args(); }",
    ] {
        let planted = Source::read("planted.rs", lines);
        assert_eq!(
            readers_of_the_environment(&[planted]),
            ["planted.rs"],
            "{lines}"
        );
    }
}

#[test]
fn siblings_do_not_use_each_other_in_a_circle() {
    let crates = crates::published().into_iter();
    let directories = crates.map(|name| format!("crates/{name}/src"));
    for directory in directories.chain(["src".to_owned()]) {
        let name = |module: &Vec<String>| module.join("::");
        let circles = circles(&sources_of(&directory));
        let circles = circles
            .iter()
            .map(|it| it.iter().map(name).collect::<Vec<_>>().join(", "));
        assert_none(&directory, &circles.collect::<Vec<_>>());
    }
}

#[test]
fn every_file_can_be_read_in_one_sitting() {
    for directory in ["src", "crates", "tests", "benches", "examples", "fuzz"] {
        let long = sources_of(directory)
            .into_iter()
            .filter(|source| source.lines > LONGEST_FILE)
            .map(|source| format!("{directory}/{}: {} lines", source.place, source.lines));
        assert_none("too long", &long.collect::<Vec<_>>());
    }
}

/// Returns the real sources, with these lines appended to one of them.
fn with(directory: &str, place: &str, lines: &str) -> Vec<Source> {
    let mut all = sources_of(directory);
    let at = all.iter().position(|it| it.place == place).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(directory)
        .join(place);
    let text = std::fs::read_to_string(path).unwrap();
    all[at] = Source::read(place, &format!("{text}\n{lines}\n"));
    all
}

#[test]
fn an_upward_use_is_found_however_it_is_written() {
    for lines in [
        "use crate::app::Application;",
        "use crate::{store::Stores as Kept, app::Application as Other};",
        "use super::super::super::app::Application;",
        "use super::{super::super::app, page::Page};",
        "fn planted() { crate::app::planted(); }",
        "fn planted() -> super::super::super::cli::Exit { todo!() }",
        "fn planted() { println!(\"http://x\"); crate::http::planted(); }",
        "fn planted() { assert!(crate::http::planted()); }",
        "mod inline { use super::super::super::super::app::Application; }",
    ] {
        let faults = upward_uses(&with("src", "store/sqlite/tokens.rs", lines));
        assert_eq!(faults.len(), 1, "{lines}: {faults:?}");
    }
    let harmless = "// crate::app\nfn planted() -> &'static str { \"crate::app::Application\" }";
    assert!(upward_uses(&with("src", "store/sqlite/tokens.rs", harmless)).is_empty());
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
        "use ::clap::Parser;",
        "use reqwest as web;",
    ] {
        let faults = strangers(&with("src", "app/alerts.rs", lines));
        assert_eq!(faults.len(), 1, "{lines}: {faults:?}");
    }
}

#[test]
fn a_circle_is_found_through_a_reexport() {
    for lines in [
        "use super::Sessions;",
        "use super::service::Sessions;",
        "fn planted(_: &super::Sessions) {}",
        "fn planted(_: &crate::Sessions) {}",
    ] {
        let found = circles(&with("crates/sessions/src", "policy.rs", lines));
        assert_eq!(found.len(), 1, "{lines}: {found:?}");
    }
}
