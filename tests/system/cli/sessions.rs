//! `session` and `audit`.

use serde_json::{Value, json};
use skriptoteket::{
    audit::{AuditEvent, Kind},
    clock::{Clock, SystemClock},
    store::Stores,
};

use crate::cli::harness::{Harness, log_in, user};

/// Ada with two sessions, Bob with one.
async fn peopled() -> (Harness, Stores) {
    let harness = Harness::new();
    harness.add("ada", "superuser");
    harness.add("bob", "user");
    let stores = harness.stores().await;
    log_in(&stores, "ada", "Firefox").await;
    log_in(&stores, "ada", "curl\u{1b}[2J").await;
    log_in(&stores, "bob", "").await;
    (harness, stores)
}

fn owners(sessions: &[Value]) -> Vec<&str> {
    let users = sessions.iter().map(|session| &session["user"]);
    let mut names: Vec<&str> = users
        .map(|user| user["username"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn live_sessions_are_listed_by_user_and_role() {
    let (harness, _stores) = peopled().await;
    let all = harness.json(&["session", "list"]);
    assert_eq!(owners(&all), ["ada", "ada", "bob"]);
    let fields: Vec<&String> = all[0].as_object().unwrap().keys().collect();
    assert_eq!(
        fields,
        [
            "created_at",
            "expires_at",
            "id",
            "last_seen_at",
            "network",
            "user",
            "user_agent"
        ]
    );
    assert_eq!(
        owners(&harness.json(&["session", "list", "--user", "bob"])),
        ["bob"]
    );
    assert_eq!(
        owners(&harness.json(&["session", "list", "--role", "superuser"])),
        ["ada", "ada"]
    );
    let none = harness.json(&["session", "list", "--user", "bob", "--role", "admin"]);
    assert!(none.is_empty());

    let table = harness.done(&["session", "list"]);
    assert_eq!(table.lines().count(), 4);
    assert!(table.contains("Firefox"), "{table}");
    assert!(
        !table.contains('\u{1b}'),
        "a user agent must not control the terminal"
    );
}

#[tokio::test]
async fn a_session_is_revoked_by_its_id() {
    let (harness, _stores) = peopled().await;
    let bobs = harness.json(&["session", "list", "--user", "bob"]);
    let id = bobs[0]["id"].as_str().unwrap();
    assert_eq!(
        harness.done(&["session", "revoke", id]),
        "sessions ended: 1\n"
    );
    assert_eq!(owners(&harness.json(&["session", "list"])), ["ada", "ada"]);
    let complaint = harness.refused(&["session", "revoke", id], 1);
    assert!(
        complaint.starts_with(&format!("error: there is no live session {id}")),
        "{complaint}"
    );
}

#[tokio::test]
async fn the_sessions_of_a_user_or_all_are_revoked() {
    let (harness, stores) = peopled().await;
    assert_eq!(
        harness.done(&["session", "revoke", "--user", "ada"]),
        "sessions ended: 2\n"
    );
    assert_eq!(owners(&harness.json(&["session", "list"])), ["bob"]);
    for n in 0..5 {
        log_in(&stores, "ada", &n.to_string()).await;
    }
    assert_eq!(
        harness.done(&["session", "revoke", "--all"]),
        "sessions ended: 6\n"
    );
    assert!(harness.json(&["session", "list"]).is_empty());
    let census = stores.sessions.census().await.unwrap();
    assert_eq!(census.totals.ended.concat().iter().sum::<u64>(), 8);
}

#[test]
fn what_is_no_session_id_is_refused_with_where_to_find_one() {
    let complaint = Harness::new().refused(&["session", "revoke", "ada"], 2);
    assert!(
        complaint.contains("expected an id from `skriptoteket session list --wide`"),
        "{complaint}"
    );
}

#[test]
fn exactly_one_way_of_naming_sessions_is_taken() {
    let harness = Harness::new();
    let id = "00AAAAAAAAAAAAAAAAAAAAAA";
    for arguments in [
        &["session", "revoke"][..],
        &["session", "revoke", "--all", "--user", "ada"],
        &["session", "revoke", id, "--all"],
        &["session", "revoke", "not-an-id"],
    ] {
        harness.refused(arguments, 2);
    }
}

#[tokio::test]
async fn the_trail_names_who_it_knows_the_newest_first() {
    let harness = Harness::new();
    harness.add("ada", "superuser");
    let stores = harness.stores().await;
    let now = SystemClock::default().now();
    let later = now.plus(std::time::Duration::from_millis(5));
    let ada = user(&stores, "ada").await.id;
    let address = "192.0.2.7".parse().unwrap();
    let event = |at, outcome, user_id, address| AuditEvent {
        user_id,
        address,
        ..AuditEvent::new(Kind::Login, at, outcome)
    };
    let events = [
        event(now, "success", Some(ada), Some(address)),
        event(later, "invalid_credentials", None, None),
    ];
    stores.audit.append(&events).await.unwrap();
    let listed = harness.json(&["audit", "list", "--kind", "login"]);
    assert_eq!(
        listed,
        [
            json!({"at": later.to_rfc3339(), "last_at": later.to_rfc3339(), "count": 1, "kind": "login",
                   "outcome": "invalid_credentials", "actor": null, "actor_name": null, "user_id": null,
                   "username": null, "target": null, "detail": null, "address": null}),
            json!({"at": now.to_rfc3339(), "last_at": now.to_rfc3339(), "count": 1, "kind": "login",
                   "outcome": "success", "actor": null, "actor_name": null, "user_id": ada,
                   "username": "ada", "target": null, "detail": null, "address": "192.0.2.7"}),
        ]
    );
    assert_eq!(harness.json(&["audit", "list", "--limit", "1"]).len(), 1);
    let table = harness.done(&["audit", "list", "--kind", "login"]);
    let last: Vec<&str> = table
        .lines()
        .next_back()
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(
        last[1..],
        ["1", "login", "success", "-", "ada", "192.0.2.7"]
    );
    harness.refused(&["audit", "list", "--limit", "0"], 2);
}
