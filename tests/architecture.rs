//! The floor plan of `src/`, checked from the sources.
//!
//! [`FLOORS`] is the plan that `src/lib.rs` tells in words: a module uses modules of lower floors only, never of its own
//! or a higher one, so there can be no circle. [`HOMES`] keeps each outside crate that names a technology in the modules
//! that own it.

#![expect(clippy::expect_used, reason = "helpers of a test crate fail loudly")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Ground floor first.
const FLOORS: &[&[&str]] = &[
    &[
        "clock",
        "duration_text",
        "error",
        "metric",
        "network",
        "wait_budget",
    ],
    &["user"],
    &["config", "observer_state", "repeats"],
    &["telemetry"],
    &["accounts"],
    &["audit", "guard", "services"],
    &["detached"],
    &["sessions", "resource_server"],
    &["account_lifecycle"],
    &["login"],
    &["store", "http"],
    &["catalogue"],
    &["app"],
    &["cli"],
];

/// Outside crates, by the start of their name, and the modules that may name them.
const HOMES: &[(&str, &[&str])] = &[
    (
        "opentelemetry",
        &[
            "telemetry",
            "metric",
            "sessions",
            "login",
            "accounts",
            "audit",
            "services",
            "store",
            "http",
        ],
    ),
    ("prometheus", &["telemetry"]),
    ("sqlx", &["store"]),
    ("redis", &["store"]),
    ("actix_", &["http", "app"]),
    ("clap", &["cli"]),
    ("jsonwebtoken", &["services"]),
    ("reqwest", &["resource_server", "cli", "telemetry"]),
];

/// Paths of the standard library and the modules that may name them.
const STANDARD_HOMES: &[(&str, &[&str])] = &[
    ("std::env", &["config"]),
    ("SystemTime::now", &["clock"]),
    ("Instant::now", &["clock"]),
    ("OffsetDateTime::now", &["clock"]),
];

/// The longest file, in lines. The aim is 400.
const LONGEST_FILE: usize = 500;

fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("src can be listed") {
        let path = entry.expect("entry can be read").path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            out.push(path);
        }
    }
}

/// A source file: its module on the top floor, its path under `src`, its text without comments.
struct Source {
    module: String,
    place: String,
    code: String,
    lines: usize,
}

fn all_sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let read = |file: PathBuf| {
        let relative = file.strip_prefix(&root).expect("file lies under src");
        let top = relative.iter().next().expect("path has a part");
        let text = fs::read_to_string(&file).expect("source can be read");
        Source {
            module: top.to_string_lossy().trim_end_matches(".rs").to_owned(),
            place: relative.display().to_string(),
            lines: text.lines().count(),
            code: without_comments(&text),
        }
    };
    let all: Vec<Source> = files.into_iter().map(read).collect();
    assert!(all.len() > 20, "the sources were found");
    all
}

fn without_comments(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// The top modules that the code names by `crate::`, groups such as `use crate::{a, b::c}` included.
fn used_modules(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => {
                names.insert(first_name(rest));
            }
            Some(group) => names.extend(top_of_group(group)),
        }
    }
    names.remove("");
    names
}

/// The first names of the items of a `{…}` group whose brace was just opened.
fn top_of_group(group: &str) -> BTreeSet<String> {
    let (mut depth, mut item, mut names) = (1_u32, String::new(), BTreeSet::new());
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || (depth == 1 && c == ',') {
            names.insert(first_name(item.trim()));
            item.clear();
        } else {
            item.push(c);
        }
        if depth == 0 {
            break;
        }
    }
    names
}

fn first_name(path: &str) -> String {
    path.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// True where a name that begins with `word` starts a path (`word…::`) in the code, not in a text in quotes.
fn names_crate(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let fresh = before.is_none_or(|c| !c.is_alphanumeric() && !"_:\"".contains(c));
        let tail = &code[at..];
        let end = tail.find(|c: char| !c.is_alphanumeric() && c != '_');
        fresh && end.is_some_and(|end| tail[end..].starts_with("::"))
    })
}

fn assert_none(rule: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{rule}:\n  {}", faults.join("\n  "));
}

#[test]
fn a_module_uses_lower_floors_only() {
    let rank: BTreeMap<&str, usize> = FLOORS
        .iter()
        .enumerate()
        .flat_map(|(rank, names)| names.iter().map(move |name| (*name, rank)))
        .collect();
    let mut faults = Vec::new();
    for source in all_sources() {
        let Source { module, place, .. } = &source;
        if matches!(module.as_str(), "lib" | "main") {
            continue;
        }
        let Some(own) = rank.get(module.as_str()) else {
            faults.push(format!("{place}: {module} is on no floor"));
            continue;
        };
        for used in used_modules(&source.code) {
            match rank.get(used.as_str()) {
                None => faults.push(format!("{place}: crate::{used} is on no floor")),
                Some(its) if used != *module && its >= own => {
                    faults.push(format!("{place}: {module} may not use {used}"));
                }
                Some(_) => {}
            }
        }
    }
    assert_none("floor plan", &faults);
}

#[test]
fn outside_crates_stay_in_their_homes() {
    let mut faults = Vec::new();
    for Source {
        module,
        place,
        code,
        ..
    } in all_sources()
    {
        for (word, homes) in HOMES {
            let used = names_crate(&code, word) && module != *word;
            if used && !homes.contains(&module.as_str()) {
                faults.push(format!("{place}: {word}… belongs in {homes:?}"));
            }
        }
        for (word, homes) in STANDARD_HOMES {
            if code.contains(word) && !homes.contains(&module.as_str()) {
                faults.push(format!("{place}: {word} belongs in {homes:?}"));
            }
        }
    }
    assert_none("homes", &faults);
}

#[test]
fn every_file_can_be_read_in_one_sitting() {
    let long = all_sources()
        .into_iter()
        .filter(|source| source.lines > LONGEST_FILE)
        .map(|source| format!("{}: {} lines", source.place, source.lines));
    assert_none("too long", &long.collect::<Vec<_>>());
}

#[test]
fn the_checks_see_what_they_should_see() {
    let code = "use crate::{login::LoginError, store};\nfn f() { crate::http::serve() }";
    let used: Vec<String> = used_modules(code).into_iter().collect();
    assert_eq!(used, ["http", "login", "store"]);
    assert!(names_crate("use sqlx::Pool;", "sqlx"));
    assert!(names_crate("actix_web::get", "actix_"));
    assert!(!names_crate("my_sqlx::Pool", "sqlx"));
    assert!(!names_crate(r#"say("sqlx::query")"#, "sqlx"));
    assert!(!without_comments("a // crate::store").contains("crate"));
}
