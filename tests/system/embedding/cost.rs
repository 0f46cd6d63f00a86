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
    let page = read("docs/embedding.md");
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
        let told = format!("| {count} |");
        assert!(
            page.contains(&told),
            "docs/embedding.md does not say {told}"
        );
    }
}
