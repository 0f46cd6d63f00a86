//! Tests of the model: it must detect the violations that it exists for, and no others.

use crate::chaos::{
    model::{Fate, Model, Seen},
    rules::{Account, Scope, Settings},
};

const SETTINGS: Settings = Settings {
    idle: 6_000,
    absolute: 15_000,
    remember: 30_000,
    per_user: 2,
    margin: 1_000,
};

fn new_model() -> Model {
    Model::new(
        SETTINGS,
        vec![Account::new("ada".into(), "1".into(), "user", "right")],
    )
}

/// Logs in from `at` until ten ms later.
fn log_in(model: &mut Model, at: i64) -> u64 {
    let ticket = model.begin_login((0, "right".into()), None, at);
    let names = (format!("id-{at}"), "cookie".into());
    model
        .logged_in(&ticket, names, (false, at + 6_000), at + 10)
        .unwrap()
}

fn check(model: &mut Model, session: u64, seen: &Seen, at: i64) -> Result<(), String> {
    let ticket = model.begin_use(session, at).unwrap();
    let seen = match seen {
        Seen::Live { expires, role, .. } => Seen::Live {
            id: model.find(session).unwrap().id.clone(),
            expires: *expires,
            role: role.clone(),
        },
        Seen::Gone => Seen::Gone,
        Seen::Unsure => Seen::Unsure,
    };
    model.used(&ticket, &seen, at + 10)
}

/// Gives the user another role.
fn promote(model: &mut Model, role: &str) {
    model.accounts[0].epoch += 1;
    model.begin_role(0, role);
    model.accounts[0].roles = vec![role.into()];
    model.accounts[0].epoch += 1;
    model.role_is(0, role);
}

fn live_as(role: &str, expires: i64) -> Seen {
    Seen::Live {
        id: String::new(),
        expires,
        role: role.into(),
    }
}

/// Sends a request from `at` until ten ms later whose response sets a new cookie.
fn renew(model: &mut Model, session: u64, at: i64) -> Result<(), String> {
    let mut ticket = model.begin_use(session, at).unwrap();
    let names = (Some(format!("id-{at}")), format!("cookie-{at}"));
    let result = model.renewed(&mut ticket, names, None, at + 10);
    model.touched(&ticket, false, at + 10);
    result
}

#[test]
fn an_old_key_that_has_the_new_role_is_noticed() {
    let mut model = new_model();
    let session = log_in(&mut model, 1_000);
    promote(&mut model, "admin");
    assert!(check(&mut model, session, &live_as("admin", 8_000), 2_000).is_err());
    promote(&mut model, "user");
    check(&mut model, session, &live(8_000), 2_100).unwrap();
}

#[test]
fn a_key_is_dead_once_there_is_a_new_one() {
    let mut model = new_model();
    let session = log_in(&mut model, 1_000);
    let early = model.begin_use(session, 1_900).unwrap();
    promote(&mut model, "admin");
    renew(&mut model, session, 2_000).unwrap();
    // It was in progress with the old key.
    model.used(&early, &Seen::Gone, 2_020).unwrap();
    let old = model.held.iter().find(|it| it.dead.is_some()).unwrap();
    let (number, id) = (old.number, old.id.clone());
    assert_eq!(id, "id-1000");
    check(&mut model, number, &Seen::Gone, 2_100).unwrap();
    assert!(check(&mut model, number, &live_as("admin", 8_000), 2_200).is_err());
    check(&mut model, session, &live_as("admin", 8_000), 2_300).unwrap();
    assert!(check(&mut model, session, &Seen::Gone, 2_400).is_err());
}

#[test]
fn a_new_key_without_a_promotion_is_noticed() {
    let mut model = new_model();
    let session = log_in(&mut model, 1_000);
    assert!(renew(&mut model, session, 2_000).is_err());
    let mut other = new_model();
    let session = log_in(&mut other, 1_000);
    promote(&mut other, "admin");
    renew(&mut other, session, 2_000).unwrap();
    promote(&mut other, "contributor");
    assert!(renew(&mut other, session, 3_000).is_err());
}

#[test]
fn a_logout_that_crosses_a_new_key_may_end_nothing_and_what_is_unanswered_may_take_the_key() {
    let mut model = new_model();
    let session = log_in(&mut model, 1_000);
    promote(&mut model, "admin");
    let mut first = model.begin_use(session, 2_000).unwrap();
    let end = model
        .begin_end(0, Scope::One(session), true, 2_000)
        .unwrap();
    model.ended(&end, Fate::Done, 2_010);
    let names = (None, "cookie-2".into());
    model.renewed(&mut first, names, None, 2_020).unwrap();
    model.touched(&first, false, 2_020);
    assert_eq!(model.bounds.logged_out, 0);
    check(&mut model, session, &live_as("admin", 8_500), 2_500).unwrap();
    promote(&mut model, "superuser");
    check(&mut model, session, &Seen::Unsure, 2_600).unwrap();
    check(&mut model, session, &Seen::Gone, 2_700).unwrap();
    assert_eq!(model.bounds.perhaps_orphaned, 1);
}

fn live(expires: i64) -> Seen {
    Seen::Live {
        id: String::new(),
        expires,
        role: "user".into(),
    }
}

#[test]
fn a_session_that_comes_back_after_its_end_is_noticed() {
    let mut model = new_model();
    let session = log_in(&mut model, 1_000);
    let end = model
        .begin_end(0, Scope::One(session), true, 2_000)
        .unwrap();
    model.ended(&end, Fate::Done, 2_010);
    assert_eq!(model.bounds.logged_out, 1);
    check(&mut model, session, &Seen::Gone, 2_500).unwrap();
    check(&mut model, session, &Seen::Unsure, 2_600).unwrap();
    assert!(check(&mut model, session, &live(9_000), 3_000).is_err());
}

#[test]
fn logins_of_one_moment_are_as_many_as_they_are() {
    let mut model = new_model();
    // The limit is two. All were sent in the same millisecond, so the first may have been evicted.
    let sessions = [1_000; 3].map(|at| log_in(&mut model, at));
    check(&mut model, sessions[0], &Seen::Gone, 2_000).unwrap();
    let mut model = new_model();
    let sessions = [1_000; 2].map(|at| log_in(&mut model, at));
    assert!(check(&mut model, sessions[0], &Seen::Gone, 2_000).is_err());
}

#[test]
fn an_answer_that_was_under_way_at_the_end_may_be_either() {
    let mut model = new_model();
    let session = log_in(&mut model, 1_000);
    let early = model.begin_use(session, 1_990).unwrap();
    let end = model.begin_end(0, Scope::All, false, 2_000).unwrap();
    model.ended(&end, Fate::Done, 2_010);
    let seen = Seen::Live {
        id: "id-1000".into(),
        expires: 8_000,
        role: "user".into(),
    };
    model.used(&early, &seen, 2_020).unwrap();
}

#[test]
fn a_session_that_is_gone_for_no_reason_is_noticed() {
    let mut model = new_model();
    let session = log_in(&mut model, 1_000);
    assert!(check(&mut model, session, &Seen::Gone, 2_000).is_err());
    let session = log_in(&mut model, 3_000);
    check(&mut model, session, &Seen::Gone, 9_000).unwrap();
}

#[test]
fn what_was_unsure_is_settled_when_all_is_quiet() {
    let mut model = new_model();
    let session = log_in(&mut model, 1_000);
    let end = model.begin_end(0, Scope::All, false, 2_000).unwrap();
    model.ended(&end, Fate::Unsure, 2_500);
    let held = model.find(session).unwrap();
    assert!(model.may_be_dead(held, 2_600));
    model.settle(3_000);
    check(&mut model, session, &live(9_500), 3_500).unwrap();
    assert!(check(&mut model, session, &Seen::Gone, 4_000).is_err());
}

#[test]
fn the_oldest_may_have_made_room_and_the_newest_may_not() {
    let mut model = new_model();
    let all: Vec<u64> = [1_000, 2_000, 3_000]
        .map(|at| log_in(&mut model, at))
        .into();
    check(&mut model, all[0], &Seen::Gone, 3_500).unwrap();
    assert!(check(&mut model, all[1], &Seen::Gone, 3_500).is_err());
}

#[test]
fn a_session_that_outlives_its_idle_timeout_or_its_age_is_noticed() {
    let mut model = new_model();
    let session = log_in(&mut model, 1_000);
    assert!(check(&mut model, session, &live(14_000), 7_100).is_err());
    let session = log_in(&mut model, 20_000);
    for at in [24_000, 28_000, 32_000] {
        check(&mut model, session, &live(at + 3_000), at).unwrap();
    }
    assert!(check(&mut model, session, &live(36_500), 35_200).is_err());
}

#[test]
fn another_role_than_the_accounts_is_noticed() {
    let mut model = new_model();
    let session = log_in(&mut model, 1_000);
    model.accounts[0].roles = vec!["admin".into()];
    assert!(check(&mut model, session, &live(8_000), 2_000).is_err());
    model.accounts[0].roles.push("user".into());
    check(&mut model, session, &live(8_000), 2_000).unwrap();
}

#[test]
fn logins_that_must_not_pass_and_refusals_that_must_not_be_are_noticed() {
    let mut model = new_model();
    let wrong = model.begin_login((0, "wrong".into()), None, 1_000);
    let names = ("id".into(), "cookie".into());
    assert!(
        model
            .logged_in(&wrong, names, (false, 7_000), 1_010)
            .is_err()
    );
    let right = model.begin_login((0, "right".into()), None, 2_000);
    assert!(
        model
            .not_logged_in(&right, (Fate::Refused, 401), 2_010)
            .is_err()
    );
    let right = model.begin_login((0, "right".into()), None, 3_000);
    model
        .not_logged_in(&right, (Fate::Unsure, 503), 3_010)
        .unwrap();
    model.accounts[0].disabled = vec![true];
    let disabled = model.begin_login((0, "right".into()), None, 4_000);
    let names = ("id".into(), "cookie".into());
    assert!(
        model
            .logged_in(&disabled, names, (false, 9_000), 4_010)
            .is_err()
    );
}
