//! One test per exit: each attempt is counted once, with one outcome.

use std::time::Duration;

use skriptoteket::{
    accounts::{Role, password::HashingPolicy},
    error::StoreError,
    login::{Caller, LoginError, LoginFailure},
    sessions::EndReason,
};
use skriptoteket_testing::parts::CHEAP;
use sqlx::Connection;

use crate::logins::{
    faulty::Faulty,
    harness::{DISABLED, Harness, PASSWORD, caller, credentials},
};

#[tokio::test]
async fn every_series_is_there_at_zero_before_the_first_attempt() {
    let harness = Harness::new().await;
    assert_eq!(
        (harness.logins("success"), harness.logins("failure")),
        (0, 0)
    );
    for reason in LoginFailure::NAMES {
        assert_eq!(harness.failures(reason), 0, "{reason}");
    }
}

#[tokio::test]
async fn a_right_password_is_a_success_and_starts_one_session() {
    let harness = Harness::new().await;
    let user = harness.user("ada", Role::Admin).await;
    let logged_in = harness.try_login("Ada", PASSWORD).await.unwrap();
    assert_eq!(logged_in.user, user);
    assert_eq!(
        (harness.logins("success"), harness.logins("failure")),
        (1, 0)
    );
    harness.census.take().await.unwrap().unwrap();
    let gauge = |name, labels: &[(&str, &str)]| harness.metrics.gauge(name, labels);
    assert_eq!(gauge("skriptoteket.active_sessions", &[]), Some(1.0));
    assert_eq!(
        gauge("skriptoteket.users_by_role", &[("role", "admin")]),
        Some(1.0)
    );
    assert_eq!(
        gauge("skriptoteket.users_by_role", &[("role", "user")]),
        Some(0.0)
    );
}

#[tokio::test]
async fn unknown_user_and_wrong_password_are_one_reason_and_one_error() {
    let harness = Harness::new().await;
    harness.user("ada", Role::User).await;
    for name in ["ada", "nobody", "no user name at all!", ""] {
        let error = harness.try_login(name, "wrong").await.unwrap_err();
        assert!(matches!(error, LoginError::InvalidCredentials), "{error:?}");
    }
    assert_eq!(harness.failures("invalid_credentials"), 4);
    assert_eq!(harness.checks(), 4, "each cost one password check");
}

#[tokio::test]
async fn a_disabled_account_is_counted_as_such_only_with_the_right_password() {
    let harness = Harness::new().await;
    let user = harness.user("ada", Role::User).await;
    harness.lifecycle.change(user.id, DISABLED).await.unwrap();
    let wrong = harness.try_login("ada", "wrong").await.unwrap_err();
    assert!(matches!(wrong, LoginError::InvalidCredentials));
    let right = harness.try_login("ada", PASSWORD).await.unwrap_err();
    assert!(matches!(right, LoginError::AccountDisabled));
    assert_eq!(harness.failures("account_disabled"), 1);
    assert_eq!(
        harness.census.take().await.unwrap().unwrap().sessions,
        [0; 4]
    );
}

#[tokio::test]
async fn an_account_is_locked_after_its_budget_and_free_again_after_the_lock() {
    let harness = Harness::new().await;
    harness.user("ada", Role::User).await;
    for name in ["ada", "nobody"] {
        for _ in 0..5 {
            harness.try_login(name, "wrong").await.unwrap_err();
        }
        let error = harness.try_login(name, PASSWORD).await.unwrap_err();
        let LoginError::AccountLocked { retry_after } = error else {
            panic!("{name} is not locked: {error:?}");
        };
        assert_eq!(retry_after, Duration::from_mins(1), "the same for {name}");
    }
    assert_eq!(harness.failures("account_locked"), 2);
    assert_eq!(
        harness.checks(),
        10,
        "a locked account causes no password check"
    );
    harness.clock.advance(Duration::from_mins(1));
    for _ in 0..4 {
        let error = harness.try_login("ada", "wrong").await.unwrap_err();
        assert!(
            matches!(error, LoginError::InvalidCredentials),
            "a fresh budget"
        );
    }
    harness.try_login("ada", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_name_has_one_budget_however_it_is_written_and_whether_it_exists_or_not() {
    let harness = Harness::new().await;
    harness.user("ada", Role::User).await;
    for [plain, capital, wide] in [["ada", "ADA", "ａｄａ"], ["eve", "EVE", "ｅｖｅ"]] {
        for name in [plain, capital, wide, plain, wide] {
            let error = harness.try_login(name, "wrong").await.unwrap_err();
            assert!(matches!(error, LoginError::InvalidCredentials), "{name}");
        }
        for name in [plain, capital, wide] {
            let error = harness.try_login(name, "wrong").await.unwrap_err();
            assert!(
                matches!(error, LoginError::AccountLocked { .. }),
                "{name} gets more guesses than {plain}: {error:?}"
            );
        }
    }
}

#[tokio::test]
async fn an_address_that_is_out_cannot_lock_accounts() {
    let harness = Harness::new().await;
    harness.user("ada", Role::User).await;
    for n in 0..20 {
        harness
            .try_login(&format!("nobody{n}"), "wrong")
            .await
            .unwrap_err();
    }
    for _ in 0..10 {
        let error = harness.try_login("ada", "wrong").await.unwrap_err();
        assert!(
            matches!(error, LoginError::RateLimited { retry_after } if retry_after > Duration::ZERO)
        );
    }
    assert_eq!(harness.failures("rate_limited"), 10);
    let elsewhere = caller("198.51.100.7");
    harness
        .login
        .login(credentials("ada", PASSWORD), elsewhere)
        .await
        .unwrap();
}

#[tokio::test]
async fn another_site_is_refused_before_anything_is_looked_at() {
    let harness = Harness::new().await;
    harness.user("ada", Role::User).await;
    let from = Caller {
        cross_site: true,
        ..caller("192.0.2.1")
    };
    let error = harness
        .login
        .login(credentials("ada", PASSWORD), from)
        .await
        .unwrap_err();
    assert!(matches!(error, LoginError::CrossSite));
    assert_eq!((harness.failures("cross_site"), harness.checks()), (1, 0));
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_a_failure_of_its_own() {
    let harness = Harness::new().await;
    harness.user("ada", Role::User).await;
    let lock = harness.write_lock().await;
    let error = harness.try_login("ada", PASSWORD).await.unwrap_err();
    assert!(
        matches!(error, LoginError::Store(StoreError::Unavailable(_))),
        "{error:?}"
    );
    assert_eq!(harness.failures("store_unavailable"), 1);
    lock.close().await.unwrap();
    harness.try_login("ada", PASSWORD).await.unwrap();
    assert_eq!(harness.logins("success"), 1);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_gives_the_charge_back() {
    let slow = HashingPolicy {
        memory_kib: 19_456,
        iterations: 8,
        threads: 1,
        queue: 0,
        ..CHEAP
    };
    let harness = Harness::with(slow, |parts| parts).await;
    harness.user("ada", Role::User).await;
    let attempts = (0..8).map(|_| harness.try_login("ada", PASSWORD));
    let results = futures_util::future::join_all(attempts).await;
    let refused = results
        .iter()
        .filter(|it| matches!(it, Err(LoginError::Overloaded)))
        .count();
    let passed = results.iter().filter(|it| it.is_ok()).count();
    // The guard admits five of the eight at once. One of these is hashed, and four find the queue full.
    assert!(passed >= 1 && refused >= 1, "{results:?}");
    assert_eq!(harness.failures("internal_error"), refused as u64);
    let overloaded = [("result", "overloaded")];
    assert_eq!(
        harness
            .metrics
            .counter("skriptoteket.password_checks", &overloaded),
        Some(refused as u64)
    );
    harness.try_login("ada", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_client_that_goes_away_is_counted_as_cancelled() {
    let slow = HashingPolicy {
        memory_kib: 19_456,
        // Long enough that the attempt is still in progress after the machine has stalled for a moment.
        iterations: 40,
        ..CHEAP
    };
    let harness = Harness::with(slow, |parts| parts).await;
    harness.user("ada", Role::User).await;
    let attempt = harness.try_login("ada", PASSWORD);
    let gone = tokio::time::timeout(Duration::from_millis(5), attempt).await;
    assert!(gone.is_err(), "the attempt ended too early");
    assert_eq!(harness.failures("cancelled"), 1);
    assert_eq!(harness.logins("failure"), 1);
}

#[tokio::test]
async fn a_panic_inside_the_attempt_is_counted_as_our_own_fault() {
    let harness = Harness::with(CHEAP, |mut parts| {
        parts.accounts = Faulty::new(parts.accounts, |operation| {
            assert_ne!(operation, "find_by_username", "planted");
            Ok(())
        });
        parts
    })
    .await;
    let login = harness.login.clone();
    let attempt = tokio::spawn(async move {
        let _ = login
            .login(credentials("ada", PASSWORD), caller("192.0.2.1"))
            .await;
    });
    assert!(attempt.await.unwrap_err().is_panic());
    assert_eq!(harness.failures("internal_error"), 1);
    assert_eq!(harness.logins("failure"), 1);
}

#[tokio::test]
async fn a_session_that_nobody_got_the_key_of_does_not_stay() {
    let harness = Harness::with(CHEAP, |mut parts| {
        // The store becomes unavailable between the start of the session and the final check of the account.
        parts.accounts = Faulty::new(parts.accounts, |operation| match operation {
            "find" => Err(StoreError::timed_out()),
            _ => Ok(()),
        });
        parts
    })
    .await;
    harness.user("ada", Role::User).await;
    let error = harness.try_login("ada", PASSWORD).await.unwrap_err();
    assert!(matches!(error, LoginError::Store(_)), "{error:?}");
    assert_eq!(harness.failures("store_unavailable"), 1);
    let ended = async {
        while harness.census.take().await.unwrap().unwrap().sessions != [0; 4] {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), ended)
        .await
        .unwrap();
    let totals = harness.census.take().await.unwrap().unwrap().totals;
    assert_eq!(
        (
            totals.started[0],
            totals.ended[0][EndReason::Revoked.index()]
        ),
        (1, 1)
    );
}
