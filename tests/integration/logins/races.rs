//! Concurrent operations.

use std::time::Duration;

use skriptoteket::{
    accounts::{AccountChange, Role},
    login::{Caller, LoginError},
    sessions::EndReason,
};
use sqlx::{Connection, Executor};

use crate::logins::{
    harness::{DISABLED, Harness, NEW, PASSWORD, caller, credentials},
    interleaved::{Moment, harness_that_waits},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_guesses_get_no_more_password_checks_than_the_budget() {
    let harness = Harness::new().await;
    harness.user("ada", Role::User).await;
    let replicas = [
        harness.login.clone(),
        harness.another_replica(),
        harness.another_replica(),
    ];
    let guesses = (0..500).map(|n| {
        let login = replicas[n % 3].clone();
        // Each attempt has its own address, so that only the account budget limits them.
        let from = caller(&format!("203.0.{}.{}", n / 250, n % 250));
        tokio::spawn(async move { login.login(credentials("ada", "wrong"), from).await })
    });
    let results = futures_util::future::join_all(guesses).await;
    let answered = |of: fn(&LoginError) -> bool| {
        let errors = results
            .iter()
            .filter_map(|it| it.as_ref().unwrap().as_ref().err());
        errors.filter(|error| of(error)).count()
    };
    assert_eq!(
        answered(|it| matches!(it, LoginError::InvalidCredentials)),
        5
    );
    assert_eq!(
        answered(|it| matches!(it, LoginError::AccountLocked { .. })),
        495
    );
    assert_eq!(harness.checks(), 5);
}

#[tokio::test]
async fn logging_in_again_ends_the_session_that_the_browser_had() {
    let harness = Harness::new().await;
    harness.user("ada", Role::User).await;
    let first = harness.try_login("ada", PASSWORD).await.unwrap();
    let again = Caller {
        session: Some(first.session.record.id.clone()),
        ..caller("192.0.2.1")
    };
    let second = harness
        .login
        .login(credentials("ada", PASSWORD), again)
        .await
        .unwrap();
    assert_ne!(second.session.record.id, first.session.record.id);
    assert_eq!(
        harness
            .sessions
            .check(&first.session.record.id)
            .await
            .unwrap(),
        None
    );
    let census = harness.census.take().await.unwrap().unwrap();
    assert_eq!(census.sessions[Role::User.index()], 1);
    assert_eq!(census.totals.started[Role::User.index()], 2);
    let ended = census.totals.ended[Role::User.index()];
    assert_eq!(ended[EndReason::Logout.index()], 1);
}

#[tokio::test]
async fn a_change_of_role_moves_live_sessions_and_the_gauges() {
    let harness = Harness::new().await;
    let user = harness.user("ada", Role::User).await;
    let logged_in = harness.try_login("ada", PASSWORD).await.unwrap();
    let change = AccountChange {
        role: Some(Role::Admin),
        ..AccountChange::default()
    };
    harness.lifecycle.change(user.id, change).await.unwrap();
    let record = harness
        .sessions
        .check(&logged_in.session.record.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(record.role, Role::Admin);
    let census = harness.census.take().await.unwrap().unwrap();
    assert_eq!(
        (census.sessions, census.users),
        ([0, 0, 1, 0], [0, 0, 1, 0])
    );
    for role in Role::ALL {
        let started = census.totals.started[role.index()];
        let ended: u64 = census.totals.ended[role.index()].iter().sum();
        assert_eq!(started - ended, census.sessions[role.index()], "{role}");
    }
}

#[tokio::test]
async fn a_change_that_nobody_brought_to_the_sessions_is_brought_by_any_server() {
    let harness = Harness::new().await;
    let user = harness.user("ada", Role::User).await;
    let logged_in = harness.try_login("ada", PASSWORD).await.unwrap();
    // As if the process had died right after the first of the two writes.
    harness
        .stores
        .accounts
        .change(user.id, DISABLED)
        .await
        .unwrap();
    let id = logged_in.session.record.id;
    assert!(harness.sessions.check(&id).await.unwrap().is_some());
    assert_eq!(harness.lifecycle.settle_pending().await.unwrap(), 1);
    assert!(harness.sessions.check(&id).await.unwrap().is_none());
    assert_eq!(harness.lifecycle.settle_pending().await.unwrap(), 0);
}

#[tokio::test]
async fn gauges_return_to_zero_after_expiry_without_traffic() {
    let harness = Harness::new().await;
    harness.user("ada", Role::User).await;
    harness.user("eve", Role::Superuser).await;
    harness.try_login("ada", PASSWORD).await.unwrap();
    harness.try_login("eve", PASSWORD).await.unwrap();
    harness.clock.advance(Duration::from_mins(31));
    let before_reaping = harness.census.take().await.unwrap().unwrap();
    assert_eq!(
        (before_reaping.sessions, before_reaping.users),
        ([0; 4], [0; 4])
    );
    assert_eq!(harness.reaper.reap().await.unwrap(), 2);
    assert_eq!(harness.reaper.reap().await.unwrap(), 0);
    let census = harness.census.take().await.unwrap().unwrap();
    assert_eq!(
        (census.sessions, census.users, census.expired),
        ([0; 4], [0; 4], [0; 4])
    );
    let idle = EndReason::Idle.index();
    assert_eq!(
        (census.totals.ended[0][idle], census.totals.ended[3][idle]),
        (1, 1)
    );
    let histogram = harness
        .metrics
        .histogram_count("skriptoteket.session_duration", &[("reason", "idle")]);
    assert_eq!(histogram, Some(2));
}

#[tokio::test]
async fn a_store_that_can_be_read_but_not_written_logs_nobody_out() {
    let harness = Harness::new().await;
    harness.user("ada", Role::User).await;
    let before = harness
        .try_login("ada", PASSWORD)
        .await
        .unwrap()
        .session
        .record;
    // The expiry has moved far enough to be written, but the write fails.
    harness.clock.advance(Duration::from_mins(5));
    let lock = harness.write_lock().await;
    let checked = harness.sessions.check(&before.id).await.unwrap();
    assert_eq!(checked.as_ref(), Some(&before), "with its previous expiry");
    lock.close().await.unwrap();
    let checked = harness.sessions.check(&before.id).await.unwrap().unwrap();
    assert!(checked.expires_at > before.expires_at);
}

#[tokio::test]
async fn use_keeps_a_session_alive_but_never_past_its_greatest_age() {
    let harness = Harness::new().await;
    harness.user("ada", Role::User).await;
    let id = harness
        .try_login("ada", PASSWORD)
        .await
        .unwrap()
        .session
        .record
        .id;
    for _ in 0..35 {
        harness.clock.advance(Duration::from_mins(20));
        assert!(harness.sessions.check(&id).await.unwrap().is_some());
    }
    harness.clock.advance(Duration::from_mins(20));
    assert!(
        harness.sessions.check(&id).await.unwrap().is_none(),
        "the 12 hours have passed"
    );
    harness.reaper.reap().await.unwrap();
    let census = harness.census.take().await.unwrap().unwrap();
    assert_eq!(census.totals.ended[0][EndReason::Absolute.index()], 1);
}

#[tokio::test]
async fn an_account_that_cannot_be_read_does_not_keep_sessions_from_ending() {
    let harness = Harness::new().await;
    harness.user("ada", Role::User).await;
    let broken = harness.user("eve", Role::User).await;
    harness.try_login("ada", PASSWORD).await.unwrap();
    harness
        .stores
        .accounts
        .change(broken.id, DISABLED)
        .await
        .unwrap();
    // As after a disk error or a manual edit.
    let mut file = harness.file().await;
    let damaged = file
        .execute("UPDATE accounts SET username = '' WHERE username = 'eve'")
        .await;
    assert_eq!(damaged.unwrap().rows_affected(), 1);
    harness.clock.advance(Duration::from_mins(31));
    assert!(harness.tick().await.is_err(), "the damage is reported");
    assert_eq!(
        harness.census.take().await.unwrap().unwrap().expired,
        [0; 4],
        "and the others were ended"
    );
}

#[tokio::test]
async fn a_login_with_the_old_password_does_not_outlive_the_change_that_it_met() {
    let (harness, barrier) = harness_that_waits(Moment::NameFound).await;
    let user = harness.user("ada", Role::User).await;
    let (late, ()) = tokio::join!(harness.try_login("ada", PASSWORD), async {
        barrier.reached().await;
        harness
            .registrar
            .set_password(&user, NEW.into())
            .await
            .unwrap();
        harness.sessions.end_user(user.id, None).await.unwrap();
        barrier.go_on();
    });
    let error = late.expect_err("the old password was accepted after the change");
    assert!(matches!(error, LoginError::InvalidCredentials), "{error:?}");
    assert_eq!(harness.failures("invalid_credentials"), 1);
    assert_eq!(
        harness.census.take().await.unwrap().unwrap().sessions,
        [0; 4]
    );
}

#[tokio::test]
async fn a_login_that_meets_a_new_hash_of_the_same_password_succeeds() {
    let (harness, barrier) = harness_that_waits(Moment::NameFound).await;
    let user = harness.user("ada", Role::User).await;
    let (late, ()) = tokio::join!(harness.try_login("ada", PASSWORD), async {
        barrier.reached().await;
        let same = harness.registrar.set_password(&user, PASSWORD.into()).await;
        same.unwrap();
        barrier.go_on();
    });
    // The first session ended with the sessions that are older than the new hash; the user has another one.
    let session = late.unwrap().session.record;
    let live = harness.sessions.list_user(user.id).await.unwrap();
    assert_eq!(live, [session]);
}

#[tokio::test]
async fn a_client_that_goes_away_right_before_the_answer_leaves_no_session() {
    let (harness, barrier) = harness_that_waits(Moment::IdFound).await;
    harness.user("ada", Role::User).await;
    {
        let mut attempt = std::pin::pin!(harness.try_login("ada", PASSWORD));
        tokio::select! {
            _ = &mut attempt => panic!("the attempt did not wait"),
            () = barrier.reached() => barrier.go_on(),
        }
        // The attempt is not polled, but not dropped either: its result is ready and has not been taken.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(harness.failures("cancelled"), 1);
    let ended = async {
        while harness.census.take().await.unwrap().unwrap().sessions != [0; 4] {
            tokio::task::yield_now().await;
        }
    };
    let ended = tokio::time::timeout(Duration::from_mins(1), ended).await;
    ended.expect("a session without an owner is still live");
}
