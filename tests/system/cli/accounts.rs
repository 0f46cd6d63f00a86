//! `user`.

use std::time::Duration;

use secrecy::ExposeSecret;
use serde_json::json;
use skriptoteket::{
    accounts::{NewAccount, Profile, Role},
    guard::{AttemptId, Budget, Charge, Checked, Decision, Entity},
    sessions::SessionFilter,
};
use skriptoteket_testing::service::PASSWORD;

use crate::cli::harness::{Harness, log_in, user};

#[test]
fn an_account_is_added_and_listed() {
    let harness = Harness::new();
    harness.add("ada", "superuser");
    harness.add("bob", "user");
    let listed = harness.json(&["user", "list"]);
    assert_eq!(listed.len(), 2);
    let ada = listed[0].as_object().unwrap();
    let fields: Vec<&str> = ada.keys().map(String::as_str).collect();
    let mut expected = [
        "id",
        "username",
        "role",
        "disabled",
        "display_name",
        "email",
        "created_at",
    ];
    expected.sort_unstable();
    assert_eq!(fields, expected);
    assert_eq!(ada["username"], json!("ada"));
    assert_eq!(ada["role"], json!("superuser"));
    assert_eq!(ada["disabled"], json!(false));
    assert!(ada["created_at"].as_str().unwrap().ends_with('Z'));

    let table = harness.done(&["user", "list"]);
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        rows[0],
        [
            "username",
            "role",
            "disabled",
            "display_name",
            "email",
            "created_at",
            "id"
        ]
    );
    assert_eq!(rows[1][..3], ["ada", "superuser", "no"]);
    assert_eq!(rows[2][..3], ["bob", "user", "no"]);
    assert_eq!(rows.len(), 3);
}

#[test]
fn an_empty_list_is_an_empty_array() {
    let harness = Harness::new();
    harness.add("ada", "superuser");
    assert_eq!(harness.done(&["session", "list", "--json"]), "[]\n");
}

#[test]
fn more_accounts_than_a_page_are_all_listed_once() {
    let harness = Harness::new();
    harness.add("ada", "superuser");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let stores = harness.stores().await;
        for n in 0..1_100 {
            let account = NewAccount {
                username: format!("user{n}").parse().unwrap(),
                role: Role::User,
                profile: Profile::default(),
                password_hash: "none".into(),
            };
            stores.accounts.add(account).await.unwrap();
        }
        stores.close().await;
    });
    let listed = harness.json(&["user", "list"]);
    let mut names: Vec<&str> = listed
        .iter()
        .map(|user| user["username"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!((listed.len(), names.len()), (1_101, 1_101));
}

#[test]
fn a_password_comes_from_one_line_of_standard_input() {
    let harness = Harness::new();
    harness.add("ada", "superuser");
    for (input, complaint) in [
        ("", "error: there is no password on standard input"),
        ("\n", "error: there is no password on standard input"),
        ("short\n", "error: the password is too short"),
        ("password1\n", "error: the password is too easy to guess"),
        ("bob.baker\n", "error: the password is too easy to guess"),
    ] {
        let answer = harness.run_with(&["user", "add", "bob.baker", "--password-stdin"], input);
        assert_eq!(answer.code, 1, "{answer:?}");
        assert!(answer.stderr.starts_with(complaint), "{answer:?}");
        assert!(answer.stdout.is_empty());
    }
    assert_eq!(harness.json(&["user", "list"]).len(), 1);
}

#[test]
fn without_a_terminal_nobody_is_asked() {
    let harness = Harness::new();
    let answer = harness.run_with(
        &["user", "add", "ada"],
        &format!("{PASSWORD}\n{PASSWORD}\n"),
    );
    assert_eq!(answer.code, 1);
    assert!(answer.stderr.contains("--password-stdin"), "{answer:?}");
    assert!(harness.json(&["user", "list"]).is_empty());
}

#[test]
fn at_a_terminal_the_password_is_asked_for_twice() {
    let harness = Harness::new();
    let seen = harness.typed("user add ada", &format!("{PASSWORD}\n{PASSWORD}\n"));
    assert!(seen.contains("New password for ada: "), "{seen}");
    assert!(seen.contains("added ada as user"), "{seen}");
    let seen = harness.typed("user add bob", &format!("{PASSWORD}\n{PASSWORD}x\n"));
    assert!(
        seen.contains("the two passwords are not the same"),
        "{seen}"
    );
    assert_eq!(harness.json(&["user", "list"]).len(), 1);
    let seen = harness.typed("user list", "");
    assert!(
        seen.contains('│') && seen.contains(" ada "),
        "a frame on a terminal: {seen}"
    );
}

#[test]
fn a_name_is_taken_once_whatever_its_case() {
    let harness = Harness::new();
    harness.add("ada", "superuser");
    let complaint = harness.refused(&["user", "add", "ADA", "--password-stdin"], 1);
    assert!(
        complaint.starts_with("error: there is a user ada already"),
        "{complaint}"
    );
}

#[test]
fn names_and_roles_that_cannot_be_are_refused_before_anything_is_opened() {
    let harness = Harness::new();
    let complaint = harness.refused(&["user", "add", "ada lovelace"], 2);
    assert!(complaint.contains("not a user name"), "{complaint}");
    let complaint = harness.refused(&["user", "add", "ada", "--role", "root"], 2);
    assert!(
        complaint.contains("user, contributor, admin, superuser"),
        "{complaint}"
    );
    harness.refused(&["user", "promote", "ada"], 2);
    harness.refused(&["user", "add"], 2);
    assert!(!harness.path("skriptoteket-data").exists());
}

#[test]
fn a_user_that_is_not_there_is_named() {
    let harness = Harness::new();
    harness.add("bob", "user");
    for arguments in [
        &["user", "set-role", "nobody", "admin"][..],
        &["user", "disable", "nobody"],
        &["user", "enable", "nobody"],
        &["user", "delete", "nobody"],
        &["user", "set-password", "nobody", "--password-stdin"],
        &["session", "list", "--user", "nobody"],
        &["session", "revoke", "--user", "nobody"],
    ] {
        let complaint = harness.refused(arguments, 1);
        assert!(
            complaint.starts_with("error: there is no user nobody"),
            "{complaint}"
        );
    }
}

#[tokio::test]
async fn a_new_role_reaches_live_sessions() {
    let harness = Harness::new();
    harness.add("ada", "superuser");
    harness.add("bob", "user");
    let stores = harness.stores().await;
    let session = log_in(&stores, "bob", "").await;
    assert_eq!(
        harness.done(&["user", "set-role", "bob", "admin"]),
        "bob is admin now\n"
    );
    let session = stores.sessions.load(&session.id).await.unwrap().unwrap();
    assert_eq!(session.role.as_str(), "admin");
    assert!(stores.accounts.unsettled(9).await.unwrap().is_empty());
}

#[tokio::test]
async fn disabling_ends_sessions_and_enabling_lets_in_again() {
    let harness = Harness::new();
    harness.add("ada", "superuser");
    harness.add("bob", "user");
    let stores = harness.stores().await;
    let session = log_in(&stores, "bob", "").await;
    harness.done(&["user", "disable", "bob"]);
    assert_eq!(stores.sessions.load(&session.id).await.unwrap(), None);
    assert!(user(&stores, "bob").await.disabled);
    assert_eq!(harness.json(&["user", "list"])[1]["disabled"], json!(true));
    harness.done(&["user", "enable", "bob"]);
    assert!(!user(&stores, "bob").await.disabled);
}

#[tokio::test]
async fn a_new_password_ends_the_sessions() {
    let harness = Harness::new();
    harness.add("ada", "superuser");
    let stores = harness.stores().await;
    let name = "ada".parse().unwrap();
    let hash = async || {
        let account = stores.accounts.find_by_username(&name).await.unwrap();
        account.unwrap().password_hash.expose_secret().to_owned()
    };
    let before = hash().await;
    log_in(&stores, "ada", "one").await;
    log_in(&stores, "ada", "two").await;
    let set = ["user", "set-password", "ada", "--password-stdin"];
    let weak = harness.run_with(&set, "ada\n");
    assert_eq!((weak.code, hash().await), (1, before.clone()));
    let answer = harness.run_with(&set, "quarry-tundra-lantern-14\n");
    assert_eq!(
        answer.stdout,
        "the password of ada is set; sessions ended: 2\n"
    );
    assert_ne!(hash().await, before);
    let left = stores
        .sessions
        .page(SessionFilter::default(), None, 9)
        .await;
    assert!(left.unwrap().is_empty());
}

#[tokio::test]
async fn a_deleted_account_is_gone_with_its_sessions() {
    let harness = Harness::new();
    harness.add("ada", "superuser");
    harness.add("bob", "user");
    let stores = harness.stores().await;
    let session = log_in(&stores, "bob", "").await;
    harness.done(&["user", "delete", "bob"]);
    assert_eq!(stores.sessions.load(&session.id).await.unwrap(), None);
    assert_eq!(harness.json(&["user", "list"]).len(), 1);
    harness.refused(&["user", "delete", "bob"], 1);
}

#[test]
fn the_last_superuser_stays() {
    let harness = Harness::new();
    harness.add("ada", "superuser");
    for arguments in [
        &["user", "delete", "ada"][..],
        &["user", "disable", "ada"],
        &["user", "set-role", "ada", "admin"],
    ] {
        let complaint = harness.refused(arguments, 1);
        assert!(complaint.contains("last superuser"), "{complaint}");
    }
    harness.add("eve", "superuser");
    harness.done(&["user", "set-role", "ada", "admin"]);
}

#[test]
fn a_locked_account_is_unlocked_by_name_by_a_new_password_and_by_enabling() {
    let harness = Harness::new();
    harness.add("ada", "superuser");
    harness.add("eve", "superuser");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let locked = || runtime.block_on(lock(&harness, "ada"));
    assert_eq!(
        harness.done(&["user", "unlock", "ada"]),
        "ada was not locked\n"
    );
    assert!(!locked(), "the budget is one wrong guess");
    assert!(locked());
    assert_eq!(
        harness.done(&["user", "unlock", "ada"]),
        "ada is unlocked; its failed logins were reset\n"
    );
    assert!(!locked());
    let set = ["user", "set-password", "ada", "--password-stdin"];
    let answer = harness.run_with(&set, "seven purple teapots sing 19\n");
    assert_eq!(answer.code, 0, "{answer:?}");
    assert!(!locked());
    harness.done(&["user", "disable", "ada"]);
    harness.done(&["user", "enable", "ada"]);
    assert!(!locked());
    let refused = harness.refused(&["user", "unlock", "nobody"], 1);
    assert!(refused.contains("there is no user nobody"), "{refused}");
}

/// Makes one wrong guess at an account with a budget of one. Returns whether it was already locked.
async fn lock(harness: &Harness, name: &str) -> bool {
    let stores = harness.stores().await;
    let charge = Charge {
        entity: Entity::Account(user(&stores, name).await.id),
        budget: Budget {
            attempts: 1,
            refill: Duration::from_mins(5),
            lock: Duration::from_hours(1),
            longest_lock: Duration::from_hours(1),
            forget: Duration::from_hours(1),
        },
    };
    let attempt = AttemptId::generate();
    let decision = stores.limits.reserve(attempt, &[charge]).await.unwrap();
    let is_locked = matches!(decision, Decision::Locked { .. });
    if decision == Decision::Go {
        let charges = [charge];
        let settled = stores.limits.settle(attempt, &charges, Checked::Wrong);
        settled.await.unwrap();
    }
    stores.close().await;
    is_locked
}

#[test]
fn a_profile_is_given_changed_and_removed() {
    let harness = Harness::new();
    harness.add("root", "superuser");
    let add = [
        "user",
        "add",
        "ada",
        "--display-name",
        "Ada Lovelace",
        "--email",
        "ada@Example.org",
        "--password-stdin",
    ];
    let answer = harness.run_with(&add, &format!("{PASSWORD}\n"));
    assert_eq!(answer.code, 0, "{answer:?}");
    let profile = || {
        let ada = harness.json(&["user", "list"]).remove(1);
        (ada["display_name"].clone(), ada["email"].clone())
    };
    assert_eq!(profile(), (json!("Ada Lovelace"), json!("ada@example.org")));
    let set = |options: &[&str]| harness.done(&[&["user", "set-profile", "ada"], options].concat());
    assert_eq!(set(&["--no-email"]), "the profile of ada is changed\n");
    assert_eq!(profile(), (json!("Ada Lovelace"), json!(null)));
    set(&["--no-display-name", "--email", "a@b"]);
    assert_eq!(profile(), (json!(null), json!("a@b")));

    for (options, complaint) in [
        (&["--email", "ada"][..], "not an email address"),
        (&["--display-name", " "], "not a display name"),
        (&["--email", "a@b", "--no-email"], "cannot be used with"),
        (&[], "required"),
    ] {
        let faults = harness.refused(&[&["user", "set-profile", "ada"], options].concat(), 2);
        assert!(faults.contains(complaint), "{faults}");
    }
    let faults = harness.refused(&["user", "set-profile", "eve", "--no-email"], 1);
    assert!(faults.contains("eve"), "{faults}");
    assert_eq!(profile(), (json!(null), json!("a@b")));
}
