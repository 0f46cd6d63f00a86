//! The model must notice what it is there for, and nothing else.

use crate::{
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

fn model() -> Model {
    Model::new(
        SETTINGS,
        vec![Account::new("ada".into(), "1".into(), "user", "right")],
    )
}

/// Logs in from `at` to ten ms later.
fn log_in(model: &mut Model, at: i64) -> u64 {
    let ticket = model.begin_login((0, "right".into()), None, at);
    let names = (format!("id-{at}"), "cookie".into());
    model
        .logged_in(&ticket, names, (false, at + 6_000), at + 10)
        .unwrap()
}

fn check(model: &mut Model, session: u64, seen: &Seen, at: i64) -> Result<(), String> {
    let ticket = model.begin_use(session, at).unwrap();
    model.used(&ticket, seen, at + 10)
}

fn live(expires: i64) -> Seen {
    Seen::Live {
        expires,
        role: "user".into(),
    }
}

#[test]
fn a_session_that_comes_back_after_its_end_is_noticed() {
    let mut model = model();
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
    let mut model = model();
    // Two are allowed. All were sent in the same millisecond, so the first may have made room.
    let sessions = [1_000; 3].map(|at| log_in(&mut model, at));
    check(&mut model, sessions[0], &Seen::Gone, 2_000).unwrap();
    let mut model = self::model();
    let sessions = [1_000; 2].map(|at| log_in(&mut model, at));
    assert!(check(&mut model, sessions[0], &Seen::Gone, 2_000).is_err());
}

#[test]
fn an_answer_that_was_under_way_at_the_end_may_be_either() {
    let mut model = model();
    let session = log_in(&mut model, 1_000);
    let early = model.begin_use(session, 1_990).unwrap();
    let end = model.begin_end(0, Scope::All, false, 2_000).unwrap();
    model.ended(&end, Fate::Done, 2_010);
    model.used(&early, &live(8_000), 2_020).unwrap();
}

#[test]
fn a_session_that_is_gone_for_no_reason_is_noticed() {
    let mut model = model();
    let session = log_in(&mut model, 1_000);
    assert!(check(&mut model, session, &Seen::Gone, 2_000).is_err());
    let session = log_in(&mut model, 3_000);
    check(&mut model, session, &Seen::Gone, 9_000).unwrap();
}

#[test]
fn what_was_unsure_is_settled_when_all_is_quiet() {
    let mut model = model();
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
    let mut model = model();
    let all: Vec<u64> = [1_000, 2_000, 3_000]
        .map(|at| log_in(&mut model, at))
        .into();
    check(&mut model, all[0], &Seen::Gone, 3_500).unwrap();
    assert!(check(&mut model, all[1], &Seen::Gone, 3_500).is_err());
}

#[test]
fn a_session_that_outlives_its_idle_timeout_or_its_age_is_noticed() {
    let mut model = model();
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
    let mut model = model();
    let session = log_in(&mut model, 1_000);
    model.accounts[0].roles = vec!["admin".into()];
    assert!(check(&mut model, session, &live(8_000), 2_000).is_err());
    model.accounts[0].roles.push("user".into());
    check(&mut model, session, &live(8_000), 2_000).unwrap();
}

#[test]
fn logins_that_must_not_pass_and_refusals_that_must_not_be_are_noticed() {
    let mut model = model();
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
