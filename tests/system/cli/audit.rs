//! `audit`, and the events that other commands record.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use skriptoteket_testing::service::PASSWORD;

use crate::cli::harness::{Harness, log_in};

/// Returns the counts by kind and outcome, and checks that all events are from the command line.
fn recorded(harness: &Harness, arguments: &[&str]) -> BTreeMap<(String, String), u64> {
    let mut sums = BTreeMap::new();
    for row in harness.json(&[&["audit", "list"], arguments].concat()) {
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        let actor = text("actor");
        assert!(actor.starts_with("cli:"), "{actor}");
        *sums.entry((text("kind"), text("outcome"))).or_default() += row["count"].as_u64().unwrap();
    }
    sums
}

#[tokio::test]
async fn every_command_that_changes_something_is_recorded_refused_or_not() {
    let harness = Harness::new();
    harness.add("ada", "superuser");
    harness.add("eve", "user");
    let weak = harness.run_with(&["user", "add", "tom", "--password-stdin"], "password1\n");
    assert_eq!(weak.code, 1);
    harness.done(&["user", "set-role", "eve", "admin"]);
    harness.refused(&["user", "set-role", "ada", "user"], 1);
    harness.refused(&["user", "disable", "tom"], 1);
    harness.done(&["user", "disable", "eve"]);
    let set = ["user", "set-password", "eve", "--password-stdin"];
    assert_eq!(harness.run_with(&set, &format!("{PASSWORD}-2\n")).code, 0);
    let stores = harness.stores().await;
    let session = log_in(&stores, "ada", "test").await;
    stores.close().await;
    harness.done(&["session", "revoke", session.id.as_str()]);
    harness.refused(&["session", "revoke", session.id.as_str()], 1);
    harness.done(&["session", "revoke", "--user", "ada"]);
    harness.done(&["session", "revoke", "--all"]);
    harness.done(&["session", "verify", "--repair"]);
    harness.done(&["service", "register", "orders"]);
    harness.refused(&["service", "register", "orders"], 1);
    harness.done(&[
        "service",
        "set",
        "orders",
        "--description",
        "what is ordered",
    ]);
    harness.done(&["service", "rotate", "orders"]);
    harness.refused(&["service", "rotate", "orders"], 1);
    harness.done(&["service", "disable", "orders"]);
    harness.done(&["service", "delete", "orders"]);
    harness.done(&["key", "rotate"]);
    harness.done(&["user", "unlock", "eve"]);
    harness.done(&["user", "delete", "eve"]);

    let expected = [
        ("key_rotate", "success", 1),
        ("service_change", "success", 2),
        ("service_delete", "success", 1),
        ("service_register", "conflict", 1),
        ("service_register", "success", 1),
        ("service_rotate", "conflict", 1),
        ("service_rotate", "success", 1),
        ("session_repair", "success", 1),
        ("session_revoke", "not_found", 1),
        ("session_revoke", "success", 3),
        ("user_change", "last_superuser", 1),
        ("user_change", "not_found", 1),
        ("user_change", "success", 2),
        ("user_create", "success", 2),
        ("user_create", "weak_password", 1),
        ("user_delete", "success", 1),
        ("user_set_password", "success", 1),
        ("user_unlock", "success", 1),
    ];
    let expected: BTreeMap<_, u64> = expected
        .into_iter()
        .map(|(kind, outcome, n)| ((kind.to_owned(), outcome.to_owned()), n))
        .collect();
    assert_eq!(recorded(&harness, &[]), expected);
    // Commands that only read record no event.
    harness.done(&["user", "list"]);
    harness.done(&["session", "list"]);
    harness.done(&["key", "list"]);
    assert_eq!(recorded(&harness, &[]), expected);
    assert_eq!(
        recorded(&harness, &["--kind", "user_create", "--outcome", "success"]).len(),
        1
    );
    assert_eq!(
        recorded(&harness, &["--user", "ada", "--since", "1h"]).len(),
        3
    );
    assert!(recorded(&harness, &["--until", "1h"]).is_empty());
    assert_eq!(recorded(&harness, &["--actor", "cli"]), expected);
}

#[test]
fn filters_of_the_trail_are_checked_and_names_are_shown() {
    let harness = Harness::new();
    harness.add("ada", "superuser");
    for (bad, told) in [
        (["--kind", "logins"], "not a kind of audit event"),
        (["--since", "yesterday"], "RFC 3339"),
        (["--address", "here"], "invalid"),
    ] {
        let complaint = harness.refused(&[&["audit", "list"], &bad[..]].concat(), 2);
        assert!(complaint.contains(told), "{complaint}");
    }
    let complaint = harness.refused(&["audit", "list", "--user", "tom"], 1);
    assert!(complaint.contains("there is no user tom"), "{complaint}");
    let row: &Value = &harness.json(&["audit", "list"])[0];
    assert_eq!(row["username"], "ada");
    assert_eq!(row["detail"], "role: superuser");
    harness.add("eve", "user");
    let top = harness.json(&["audit", "top", "user", "--kind", "user_create"]);
    assert_eq!(
        top,
        [
            json!({"attempts": 1, "value": "ada"}),
            json!({"attempts": 1, "value": "eve"})
        ]
    );
    let top = harness.json(&["audit", "top", "outcome", "--limit", "1"]);
    assert_eq!(top, [json!({"attempts": 2, "value": "success"})]);
    let table = harness.done(&["audit", "list"]);
    assert!(
        table.lines().all(|line| line.chars().count() <= 80),
        "{table}"
    );
}
