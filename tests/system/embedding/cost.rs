//! What an application depends on.

use std::{collections::BTreeSet, process::Command};

use skriptoteket_testing::files::{in_repository, read};

/// Packages of the server that no application needs.
const NOT_FOR_APPLICATIONS: [&str; 5] = ["sqlx", "clap", "crossterm", "zxcvbn", "utoipa"];

/// Returns the packages that `cargo tree` lists for the crate outside the workspace, the crate itself included.
fn tree(features: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--quiet",
            "-e",
            "normal,build",
            "--prefix",
            "none",
        ])
        .args(["--manifest-path"])
        .arg(in_repository("tests/embedding/Cargo.toml"))
        .args(["--features", &features.join(",")])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let lines = String::from_utf8(output.stdout).unwrap();
    // A package that was listed before, with what it depends on, has this mark.
    let package = |line: &str| line.trim_end_matches(" (*)").to_owned();
    lines.lines().map(package).collect()
}

#[test]
fn an_application_pays_for_no_more_than_it_uses() {
    for (features, most) in [(&[][..], 190), (&["telemetry"][..], 235)] {
        let tree = tree(features);
        let count = tree.len();
        assert!(count <= most, "{features:?}: {count} packages");
        for package in NOT_FOR_APPLICATIONS {
            let listed = tree.iter().find(|it| {
                let name = it.split(' ').next().unwrap_or_default();
                name == package || name.starts_with(&format!("{package}-"))
            });
            assert_eq!(listed, None);
        }
    }
}

/// A row of the table in the documentation: `| `a`, `b` | 190 | … |`.
fn row(line: &str) -> Option<(Vec<&str>, usize)> {
    let mut cells = line.strip_prefix("| ")?.split(" | ");
    let features = cells.next()?;
    let packages = cells.next()?.parse().ok()?;
    let features = features.split(", ").map(|it| it.trim_matches('`'));
    Some((features.filter(|it| *it != "none").collect(), packages))
}

#[test]
fn the_documentation_has_the_cost_of_each_feature() {
    let page = read("docs/embedding.md");
    let (_, table) = page.split_once("| features | packages |").unwrap();
    // The rest of that line is a column.
    let (_, table) = table.split_once('\n').unwrap();
    let rows: Vec<_> = table
        .lines()
        .map_while(|line| {
            // The line below the header.
            (line.is_empty() || line.starts_with('|')).then(|| row(line))
        })
        .flatten()
        .collect();
    assert!(rows.len() > 8, "{rows:?}");
    for (features, packages) in rows {
        let own = |name: &&str| format!("skriptoteket-actix/{name}");
        let own: Vec<String> = features.iter().map(own).collect();
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        assert_eq!(tree(&own).len(), packages, "{features:?}");
    }
}
