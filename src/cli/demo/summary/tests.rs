//! Which values agree, and which differ.

use super::*;
use crate::{
    cli::demo::{
        machines::{Calls, Figures},
        reading::values,
    },
    login::LoginFailure,
    services::AuthFailureReason,
    sessions::EndReason,
};

/// 14 logins, 9 failures; 3 sessions moved to another role, 5 are live; services were authenticated 30 times and
/// rejected 10 times, 3 are active; and matching metrics.
fn run() -> (Counts, Reading, Reading, Enumerated) {
    let done = Counts {
        logins: [14, 5, 3, 1, 0],
        calls: Calls {
            authenticated: 30,
            by_token: 20,
            refused: [1, 2, 3, 4],
            over_limit: 6,
            retired: 2,
            ..Calls::default()
        },
        ..Counts::default()
    };
    let before = Reading {
        logins: [Some(100), Some(10)],
        failures: [Some(1); LoginFailure::NAMES.len()],
        answers: [100, 10, 0, 0, 0],
        started: Some(140),
        ended: [Some(20); EndReason::NAMES.len()],
        ..Reading::default()
    };
    let after = Reading {
        logins: [Some(114), Some(19)],
        failures: values(
            1,
            &[
                (LoginFailure::InvalidCredentials, 5),
                (LoginFailure::AccountLocked, 3),
                (LoginFailure::AccountDisabled, 2),
                (LoginFailure::RateLimited, 2),
                (LoginFailure::CrossSite, 2),
            ],
        ),
        answers: [114, 15, 3, 1, 0],
        started: Some(157),
        ended: [25, 24, 20, 20, 20, 23, 20].map(Some),
        active: Some(5),
        sessions: [2, 2, 1, 0].map(Some),
        users: [1, 2, 1, 0].map(Some),
        active_services: Some(3),
        machines: [(20, 15), (10, 5), (0, 0)]
            .map(|(authenticated, valid)| machine(authenticated, valid)),
    };
    let enumerated = Enumerated {
        sessions: [2, 2, 1, 0],
        users: [1, 2, 1, 0],
        services: 3,
    };
    (done, before, after, enumerated)
}

/// Returns the figures of a machine; the second one has all the rejections.
fn machine(authenticated: u64, valid: u64) -> Figures {
    let is_second = authenticated == 10;
    let second = |n| Some(if is_second { n } else { 0 });
    let rejections: &[_] = &[
        (AuthFailureReason::BadSecret, 1),
        (AuthFailureReason::ExpiredCredential, 2),
        (AuthFailureReason::ExpiredToken, 1),
        (AuthFailureReason::RevokedToken, 2),
        (AuthFailureReason::RateLimited, 4),
    ];
    let rejections = if is_second { rejections } else { &[] };
    Figures {
        authenticated: Some(authenticated),
        refused: values(0, rejections),
        valid_tokens: Some(valid),
        over_limit: second(6),
        retired: second(2),
        ..Figures::default()
    }
}

#[test]
fn metrics_that_say_what_was_done_are_the_same() {
    let (done, before, after, enumerated) = run();
    let summary = Summary::compare(&done, &before, &after, &enumerated);
    assert!(summary.is_same(), "{summary}");
    let text = summary.to_string();
    assert!(text.contains("2/2/1/0") && !text.contains("NO"), "{text}");
}

#[test]
fn one_more_or_less_anywhere_is_noticed() {
    type Field = fn(&mut Reading) -> &mut Option<u64>;
    let fields: [Field; 23] = [
        |it| &mut it.logins[0],
        |it| &mut it.logins[1],
        |it| &mut it.failures[LoginFailure::InvalidCredentials as usize],
        |it| &mut it.failures[LoginFailure::AccountLocked as usize],
        |it| &mut it.failures[LoginFailure::CrossSite as usize],
        |it| &mut it.failures[LoginFailure::InternalError as usize],
        |it| &mut it.failures[LoginFailure::Cancelled as usize],
        |it| &mut it.started,
        |it| &mut it.ended[EndReason::Idle as usize],
        |it| &mut it.ended[EndReason::RoleChanged as usize],
        |it| &mut it.active,
        |it| &mut it.sessions[3],
        |it| &mut it.users[0],
        |it| &mut it.active_services,
        |it| &mut it.machines[0].authenticated,
        |it| &mut it.machines[1].authenticated,
        |it| &mut it.machines[1].refused[1],
        |it| &mut it.machines[1].refused[5],
        |it| &mut it.machines[1].refused[9],
        |it| &mut it.machines[1].refused[0],
        |it| &mut it.machines[1].valid_tokens,
        |it| &mut it.machines[1].over_limit,
        |it| &mut it.machines[1].retired,
    ];
    for (index, field) in fields.into_iter().enumerate() {
        for planted in [Some(1), Some(-1), None] {
            let (done, before, mut after, enumerated) = run();
            let value = field(&mut after);
            *value = planted.and_then(|by| value.unwrap().checked_add_signed(by));
            let summary = Summary::compare(&done, &before, &after, &enumerated);
            assert!(!summary.is_same(), "field {index}, {planted:?}:\n{summary}");
        }
    }
}

#[test]
fn only_what_the_census_counts_may_follow() {
    let compare = |change: fn(&mut Reading)| {
        let (done, before, mut after, enumerated) = run();
        change(&mut after);
        Summary::compare(&done, &before, &after, &enumerated)
    };
    let late = compare(|after| after.active = Some(4));
    assert!(!late.is_same() && late.may_follow());
    let wrong = compare(|after| after.logins[0] = Some(115));
    assert!(!wrong.is_same() && !wrong.may_follow());
}

#[test]
fn a_login_without_an_answer_may_have_been_counted_or_not() {
    for (counted, same) in [(0, true), (1, true), (2, false)] {
        let (mut done, before, mut after, enumerated) = run();
        done.unanswered_logins = 1;
        after.logins[1] = Some(19 + counted);
        after.failures[LoginFailure::Cancelled as usize] = Some(1 + counted);
        let summary = Summary::compare(&done, &before, &after, &enumerated);
        assert_eq!(summary.is_same(), same, "{summary}");
        assert!(summary.to_string().contains("9 to 10"));
    }
}

#[test]
fn a_login_that_the_service_failed_may_have_started_a_session() {
    for (started, same) in [(157, true), (158, true), (159, false)] {
        let (mut done, before, mut after, enumerated) = run();
        done.logins[LoginAnswer::Failed.index()] = 1;
        after.logins[1] = Some(20);
        after.failures[LoginFailure::StoreUnavailable as usize] = Some(2);
        after.started = Some(started);
        after.ended[EndReason::Idle as usize] = Some(24 + started - 157);
        let summary = Summary::compare(&done, &before, &after, &enumerated);
        assert_eq!(summary.is_same(), same, "{summary}");
    }
}

#[test]
fn a_login_by_somebody_else_is_told_and_does_not_disturb() {
    let (done, before, mut after, enumerated) = run();
    after.logins[1] = Some(20);
    after.failures[LoginFailure::InvalidCredentials as usize] = Some(6);
    let unexplained = Summary::compare(&done, &before, &after, &enumerated);
    assert!(!unexplained.is_same(), "{unexplained}");
    after.answers[LoginAnswer::Refused.index()] += 1;
    let explained = Summary::compare(&done, &before, &after, &enumerated);
    assert!(explained.is_same(), "{explained}");
    assert!(explained.to_string().contains("other clients"));
}

#[test]
fn a_call_without_a_clear_answer_may_have_been_let_in_or_not() {
    for (authenticated, refused, same) in
        [(20, 0, true), (21, 0, true), (20, 1, true), (22, 0, false)]
    {
        let (mut done, before, mut after, enumerated) = run();
        done.calls.unclear = 1;
        after.machines[0].authenticated = Some(authenticated);
        // `internal_error`
        after.machines[0].refused[11] = Some(refused);
        let summary = Summary::compare(&done, &before, &after, &enumerated);
        assert_eq!(summary.is_same(), same, "{summary}");
    }
}

#[test]
fn an_answer_that_the_api_does_not_give_is_never_the_same() {
    let (mut done, before, after, enumerated) = run();
    done.odd_answers = 1;
    assert!(!Summary::compare(&done, &before, &after, &enumerated).is_same());
}

#[test]
fn a_counter_that_began_anew_is_absent_rather_than_wrong() {
    assert_eq!(rise(Some(9), Some(2)), None);
    assert_eq!(rise(None, Some(2)), None);
    assert_eq!(rise(Some(2), Some(2)), Some(0));
}
