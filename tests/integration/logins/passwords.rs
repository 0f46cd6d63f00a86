//! Password changes in a session, and how the guard limits them.

use std::time::Duration;

use skriptoteket::{
    accounts::{AccountChange, Role},
    login::{LoginError, PasswordChange, PasswordChangeError},
    sessions::{SessionState, StartSession},
};

use crate::logins::{
    harness::{DISABLED, Harness, NEW, PASSWORD, caller, credentials},
    interleaved::{Moment, harness_that_waits},
};

#[tokio::test]
async fn a_changed_password_ends_all_sessions_and_starts_one_under_a_new_key() {
    let harness = Harness::new().await;
    harness.user("ada", Role::Admin).await;
    let here = harness.try_login("ada", PASSWORD).await.unwrap().session;
    let there = harness.try_login("ada", PASSWORD).await.unwrap().session;
    let state = SessionState::from([("cart".to_owned(), "[7]".to_owned())]);
    let kept = harness
        .sessions
        .update(here.record.id.clone(), state.clone());
    assert!(kept.await.unwrap());
    let read = harness
        .sessions
        .check(&here.record.id)
        .await
        .unwrap()
        .unwrap();
    let changed = harness.change_password(&read, PASSWORD).await.unwrap();
    for old in [&here, &there] {
        assert_eq!(harness.sessions.check(&old.record.id).await.unwrap(), None);
    }
    assert_eq!(changed.key.id(), changed.record.id);
    let new = harness.sessions.check(&changed.record.id).await.unwrap();
    let new = new.unwrap();
    assert_eq!((new.state, new.role), (state, Role::Admin));
    assert_eq!(new.user_agent, here.record.user_agent);
    assert!(new.network.is_some() && new.network == here.record.network);
    assert!(!changed.record.is_remembered());
    let census = harness.census.take().await.unwrap().unwrap();
    assert_eq!(census.sessions, [0, 0, 1, 0]);
    let role = Role::Admin.index();
    let ended: u64 = census.totals.ended[role].iter().sum();
    assert_eq!((census.totals.started[role], ended), (3, 2));
}

#[tokio::test]
async fn a_remembered_session_is_remembered_after_the_change() {
    let harness = Harness::new().await;
    harness.user("ada", Role::User).await;
    let mut remembered = credentials("ada", PASSWORD);
    remembered.remember_me = true;
    let login = harness.login.login(remembered, caller("192.0.2.1"));
    let here = login.await.unwrap().session.record;
    let changed = harness.change_password(&here, PASSWORD).await.unwrap();
    assert!(here.is_remembered() && changed.record.is_remembered());
}

#[tokio::test]
async fn an_account_and_an_address_that_strangers_have_locked_do_not_keep_the_owner_from_a_change()
{
    let harness = Harness::new().await;
    harness.user("ada", Role::User).await;
    let here = harness.try_login("ada", PASSWORD).await.unwrap().session;
    for n in 0..25 {
        harness.try_login("ada", "wrong").await.unwrap_err();
        let name = format!("nobody{n}");
        harness.try_login(&name, "wrong").await.unwrap_err();
    }
    let elsewhere = || caller("198.51.100.7");
    let login = harness
        .login
        .login(credentials("ada", PASSWORD), elsewhere());
    let locked = login.await.unwrap_err();
    assert!(matches!(locked, LoginError::AccountLocked { .. }));
    let limited = harness.try_login("ada", PASSWORD).await.unwrap_err();
    assert!(matches!(limited, LoginError::RateLimited { .. }));

    harness
        .change_password(&here.record, PASSWORD)
        .await
        .unwrap();
    let login = harness.login.login(credentials("ada", NEW), elsewhere());
    login
        .await
        .expect("guesses at the old password do not lock the new one");
}

#[tokio::test]
async fn a_stolen_session_gets_exactly_the_budget_of_guesses_and_locks_nobody_else_out() {
    let harness = Harness::new().await;
    harness.user("ada", Role::User).await;
    let stolen = harness.try_login("ada", PASSWORD).await.unwrap().session;
    let own = harness.try_login("ada", PASSWORD).await.unwrap().session;
    let checks = harness.checks();
    let replica = harness.another_replica();
    let guesses = (0..40).map(|n| {
        let change = PasswordChange {
            session: stolen.record.clone(),
            state: SessionState::new(),
            current: "wrong".into(),
            new: NEW.into(),
        };
        let login = if n % 2 == 0 { &harness.login } else { &replica };
        login.change_password(change)
    });
    let results = futures_util::future::join_all(guesses).await;
    let refused = |it: &&Result<_, _>| matches!(it, Err(PasswordChangeError::RateLimited { .. }));
    assert_eq!(results.iter().filter(refused).count(), 35);
    assert_eq!(harness.checks() - checks, 5);
    let counted = |result| {
        let changes = "skriptoteket.password_changes";
        harness
            .metrics
            .counter(changes, &[("result", result)])
            .unwrap()
    };
    let all = [
        "success",
        "invalid_credentials",
        "rate_limited",
        "weak_password",
        "cancelled",
    ];
    assert_eq!(all.map(counted), [0, 5, 35, 0, 0]);
    let right = harness.change_password(&stolen.record, PASSWORD).await;
    assert!(matches!(
        right,
        Err(PasswordChangeError::RateLimited { retry_after }) if retry_after == Duration::from_mins(1)
    ));
    harness.try_login("ada", PASSWORD).await.unwrap();
    harness
        .change_password(&own.record, PASSWORD)
        .await
        .unwrap();
    let stolen = harness.sessions.check(&stolen.record.id).await.unwrap();
    assert_eq!(stolen, None);
}

#[tokio::test]
async fn a_client_that_goes_away_amid_a_password_change_spares_no_session() {
    let (harness, barrier) = harness_that_waits(Moment::PasswordReplaced).await;
    harness.user("ada", Role::User).await;
    let here = harness.try_login("ada", PASSWORD).await.unwrap().session;
    harness.try_login("ada", PASSWORD).await.unwrap();
    tokio::select! {
        _ = harness.change_password(&here.record, PASSWORD) => panic!("the change did not wait"),
        () = barrier.reached() => {}
    }
    barrier.go_on();
    let ended = async {
        loop {
            let census = harness.census.take().await.unwrap().unwrap();
            // Two earlier sessions, and the new one, whose key no client received.
            if census.sessions == [0; 4] && census.totals.started[0] == 3 {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(5), ended).await;
    ended.expect("the password has changed and a session without an owner is still live");
    harness.try_login("ada", NEW).await.unwrap();
}

#[tokio::test]
async fn a_password_change_that_stopped_half_way_ends_the_sessions_of_before_and_no_other() {
    let harness = Harness::new().await;
    let user = harness.user("ada", Role::User).await;
    let before = harness.try_login("ada", PASSWORD).await.unwrap().session;
    // The process that changed the password was killed, or could not reach the session store.
    let set = harness.registrar.set_password(&user, NEW.into());
    set.await.unwrap();
    let after = harness.try_login("ada", NEW).await.unwrap().session;
    harness.tick().await.unwrap();
    let live = harness.sessions.list_user(user.id).await.unwrap();
    assert_eq!(live, [after.record]);
    assert_ne!(live, [before.record]);
    assert!(
        harness
            .stores
            .accounts
            .unsettled(10)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_password_change_that_meets_the_end_of_the_account_leaves_no_session() {
    let (harness, barrier) = harness_that_waits(Moment::PasswordReplaced).await;
    let user = harness.user("ada", Role::User).await;
    let here = harness.try_login("ada", PASSWORD).await.unwrap().session;
    let (late, ()) = tokio::join!(harness.change_password(&here.record, PASSWORD), async {
        barrier.reached().await;
        let disabled = harness.lifecycle.change(user.id, DISABLED).await;
        assert!(disabled.unwrap().unwrap().disabled);
        barrier.go_on();
    });
    assert!(
        matches!(late, Err(PasswordChangeError::WrongPassword)),
        "{late:?}"
    );
    assert_eq!(harness.sessions.list_user(user.id).await.unwrap(), []);
}

#[tokio::test]
async fn an_account_disabled_before_its_password_was_changed_has_no_session() {
    let harness = Harness::new().await;
    let user = harness.user("ada", Role::User).await;
    let disabled = harness.lifecycle.change(user.id, DISABLED).await;
    assert!(disabled.unwrap().unwrap().disabled);
    harness
        .registrar
        .set_password(&user, NEW.into())
        .await
        .unwrap();
    let account = harness
        .stores
        .accounts
        .find(user.id)
        .await
        .unwrap()
        .unwrap();
    // As in a request that read the account before it was disabled.
    let start = StartSession {
        user_id: user.id,
        username: account.user.username,
        role: account.user.role,
        account_version: account.user.version,
        remember_me: false,
        user_agent: String::new(),
        network: None,
        replaces: None,
        state: SessionState::new(),
    };
    harness.sessions.start(start).await.unwrap();
    harness.lifecycle.settle(user.id).await.unwrap();
    assert_eq!(harness.sessions.list_user(user.id).await.unwrap(), []);
}

#[tokio::test]
async fn sessions_of_before_a_restored_backup_end_with_the_next_password() {
    let harness = Harness::new().await;
    let user = harness.user("ada", Role::User).await;
    harness.clock.advance(Duration::from_secs(1));
    harness.lifecycle.change(user.id, DISABLED).await.unwrap();
    let enabled = AccountChange {
        disabled: Some(false),
        ..DISABLED
    };
    harness.lifecycle.change(user.id, enabled).await.unwrap();
    let stolen = harness.try_login("ada", PASSWORD).await.unwrap().session;
    // The backup is older. The sessions are in another store and were not restored.
    let restore = sqlx::query("UPDATE accounts SET version = ?1, sessions_since = 0");
    let restore = restore.bind(user.version);
    restore.execute(&mut harness.file().await).await.unwrap();
    harness.clock.advance(Duration::from_secs(1));
    harness
        .registrar
        .set_password(&user, NEW.into())
        .await
        .unwrap();
    harness.lifecycle.settle(user.id).await.unwrap();
    assert!(
        harness
            .sessions
            .check(&stolen.record.id)
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_login_after_an_account_was_enabled_again_outlives_the_end_of_the_sessions_of_before() {
    let harness = Harness::new().await;
    let user = harness.user("ada", Role::User).await;
    harness.try_login("ada", PASSWORD).await.unwrap();
    let accounts = &harness.stores.accounts;
    accounts.change(user.id, DISABLED).await.unwrap();
    let enabled = AccountChange {
        disabled: Some(false),
        ..DISABLED
    };
    accounts.change(user.id, enabled).await.unwrap();
    let after = harness.try_login("ada", PASSWORD).await.unwrap().session;
    harness.tick().await.unwrap();
    let live = harness.sessions.list_user(user.id).await.unwrap();
    assert_eq!(live, [after.record]);
}

#[tokio::test]
async fn of_two_changes_of_one_password_the_first_counts() {
    let (harness, barrier) = harness_that_waits(Moment::IdFound).await;
    let user = harness.user("ada", Role::User).await;
    barrier.go_on();
    let here = harness.try_login("ada", PASSWORD).await.unwrap().session;
    barrier.stop_again();
    let first = "whoever comes first 77";
    let (late, ()) = tokio::join!(harness.change_password(&here.record, PASSWORD), async {
        barrier.reached().await;
        let set = harness.registrar.set_password(&user, first.into());
        set.await.unwrap();
        barrier.go_on();
    });
    assert!(
        matches!(late, Err(PasswordChangeError::WrongPassword)),
        "{late:?}"
    );
    harness.try_login("ada", first).await.unwrap();
}

#[tokio::test]
async fn an_old_hash_of_a_password_as_it_was_typed_is_made_anew_at_login() {
    let harness = Harness::new().await;
    let user = harness.user("ada", Role::User).await;
    // "Grün-Schlüssel-Öl-77" in decomposed form, as some keyboards produce it, hashed without normalization.
    let typed = "Gru\u{308}n-Schlu\u{308}ssel-O\u{308}l-77";
    let old = OLD.into();
    let set = harness.stores.accounts.set_password(user.id, &old).await;
    assert!(set.unwrap());
    let composed = "Gr\u{fc}n-Schl\u{fc}ssel-\u{d6}l-77";
    harness.try_login("ada", composed).await.unwrap_err();
    harness.try_login("ada", typed).await.unwrap();
    for either in [composed, typed] {
        harness.try_login("ada", either).await.unwrap();
    }
}

/// Created with the reference implementation from the bytes of the decomposed form.
const OLD: &str =
    "$argon2id$v=19$m=8,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$pN6NjnTrQjnCpt2naF8xqCqAbA+ApyCBPPoCG5++pxU";
