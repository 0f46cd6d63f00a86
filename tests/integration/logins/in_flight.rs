//! Attempts in progress: they reserve places in a budget and are not failures.

use std::time::Duration;

use skriptoteket::{
    accounts::{Role, password::HashingPolicy},
    login::LoginError,
};
use skriptoteket_testing::parts::CHEAP;

use crate::logins::harness::{Harness, PASSWORD, caller, credentials};

/// Slow enough that a client can disconnect during the hash.
const SLOW: HashingPolicy = HashingPolicy {
    memory_kib: 19_456,
    iterations: 4,
    ..CHEAP
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_right_logins_of_one_account_at_once_all_succeed() {
    let harness = Harness::new().await;
    harness.user("ada", Role::User).await;
    let replicas = [harness.login.clone(), harness.another_replica()];
    let logins = (0..60).map(|n| {
        let from = caller(&format!("203.0.113.{n}"));
        replicas[n % 2].login(credentials("ada", PASSWORD), from)
    });
    for result in futures_util::future::join_all(logins).await {
        result.unwrap();
    }
    assert_eq!(harness.logins("failure"), 0);
    harness.try_login("ada", "wrong").await.unwrap_err();
    assert_eq!(
        harness.failures("invalid_credentials"),
        1,
        "and no place is left"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_people_log_in_from_one_address_at_once() {
    let harness = Harness::new().await;
    for n in 0..50 {
        harness.user(&format!("pupil{n}"), Role::User).await;
    }
    // Some attempts fail, as in practice; the budget of the address allows 20 failures.
    let logins = (0..50).map(|n| {
        let harness = &harness;
        async move {
            let name = format!("pupil{n}");
            let password = if n % 10 == 0 { "wrong" } else { PASSWORD };
            harness.try_login(&name, password).await
        }
    });
    let results = futures_util::future::join_all(logins).await;
    let passed = results.iter().filter(|it| it.is_ok()).count();
    assert_eq!(passed, 45, "{results:?}");
    assert_eq!(harness.failures("invalid_credentials"), 5);
    assert_eq!(harness.logins("failure"), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_from_one_address_at_once_are_exactly_limited() {
    let harness = Harness::new().await;
    let replicas = [harness.login.clone(), harness.another_replica()];
    let guesses = (0..200).map(|n| {
        let name = format!("nobody{n}");
        let login = &replicas[n % 2];
        async move {
            let guess = credentials(&name, "wrong");
            login.login(guess, caller("192.0.2.1")).await
        }
    });
    let results = futures_util::future::join_all(guesses).await;
    let limited = results
        .iter()
        .filter(|it| matches!(it, Err(LoginError::RateLimited { .. })));
    assert_eq!((harness.checks(), limited.count()), (20, 180));
}

/// Returns how many places of the account budgets are failures or reserved.
async fn places_taken(harness: &Harness) -> u32 {
    let mut file = harness.file().await;
    let of_accounts = "SELECT COALESCE(SUM(spent + held + held_before), 0) FROM limits \
        WHERE entity LIKE 'u:%'";
    sqlx::query_scalar(of_accounts)
        .fetch_one(&mut file)
        .await
        .unwrap()
}

/// Starts an attempt at Ada's account and drops it as soon as this many places are taken. Returns false if the attempt
/// ended before that.
async fn goes_away(harness: &Harness, password: &str, places: u32) -> bool {
    let are_taken = async { while places_taken(harness).await < places {} };
    tokio::select! {
        _ = harness.try_login("ada", password) => false,
        () = are_taken => true,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_whose_client_goes_away_are_failures() {
    let harness = Harness::with(SLOW, |parts| parts).await;
    harness.user("ada", Role::User).await;
    // If the client disconnects before the password is checked, the attempt is not a guess.
    for tries in 0.. {
        assert!(tries < 1_000, "guesses are never counted");
        let taken = places_taken(&harness).await;
        goes_away(&harness, "wrong", taken + 1).await;
        if harness.failures("account_locked") > 0 {
            break;
        }
    }
    let locked = harness.try_login("ada", PASSWORD).await.unwrap_err();
    assert!(
        matches!(locked, LoginError::AccountLocked { .. }),
        "{locked:?}"
    );
    assert_eq!(harness.checks(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn right_passwords_whose_client_goes_away_are_none() {
    let harness = Harness::with(SLOW, |parts| parts).await;
    harness.user("ada", Role::User).await;
    let mut cancelled = 0;
    for _ in 0..12 {
        cancelled += u64::from(goes_away(&harness, PASSWORD, 1).await);
    }
    harness.try_login("ada", PASSWORD).await.unwrap();
    assert_eq!(harness.failures("cancelled"), cancelled);
    assert_eq!(harness.logins("failure"), cancelled);
    let own = harness.logins("success");
    let ended = async {
        // Sessions of clients that have disconnected are ended in the background.
        while harness.census.take().await.unwrap().unwrap().sessions != [own, 0, 0, 0] {
            tokio::task::yield_now().await;
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(10), ended).await;
    ended.expect("a session without an owner is still live");
}

#[tokio::test]
async fn places_of_a_client_that_goes_away_in_line_are_free() {
    let harness = Harness::with(SLOW, |parts| parts).await;
    harness.user("ada", Role::User).await;
    {
        // Five attempts take all places, seven wait in the queue, and all are dropped.
        let logins = (0..11).map(|_| harness.try_login("ada", PASSWORD));
        let all = futures_util::future::join_all(logins);
        tokio::select! {
            _ = all => {},
            _ = goes_away(&harness, PASSWORD, 5) => {}
        }
    }
    harness.try_login("ada", PASSWORD).await.unwrap();
    assert_eq!(harness.failures("account_locked"), 0);
}

#[tokio::test]
async fn an_unlocked_account_has_a_whole_budget() {
    let harness = Harness::new().await;
    let user = harness.user("ada", Role::User).await;
    for _ in 0..5 {
        harness.try_login("ada", "wrong").await.unwrap_err();
    }
    let locked = harness.try_login("ada", PASSWORD).await.unwrap_err();
    assert!(matches!(locked, LoginError::AccountLocked { .. }));
    assert!(harness.login.unlock(user.id).await.unwrap());
    assert!(!harness.login.unlock(user.id).await.unwrap());
    for _ in 0..4 {
        let wrong = harness.try_login("ada", "wrong").await.unwrap_err();
        assert!(matches!(wrong, LoginError::InvalidCredentials));
    }
    harness.try_login("ada", PASSWORD).await.unwrap();
}
