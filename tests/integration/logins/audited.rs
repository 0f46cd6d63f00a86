//! Attempts in the audit trail: every one is in it once, also after an outage, and those that are lost are counted.

use std::time::Duration;

use skriptoteket::{
    accounts::Role,
    audit::{AuditEvent, AuditTrail, Kind},
    clock::Clock,
    login::{Caller, LoginFailure},
};
use sqlx::Connection;

use crate::logins::harness::{DISABLED, Harness, PASSWORD, account, caller, credentials};

#[tokio::test]
async fn attempts_amid_an_outage_are_in_the_audit_trail_once_it_is_over() {
    let harness = Harness::new().await;
    harness.user("ada", Role::User).await;
    let lock = harness.write_lock().await;
    let attempts = (0..3).map(|_| harness.try_login("ada", PASSWORD));
    let results = futures_util::future::join_all(attempts).await;
    assert!(results.iter().all(Result::is_err), "{results:?}");
    lock.close().await.unwrap();
    assert_eq!(harness.failures("store_unavailable"), 3);
    let dropped = "skriptoteket.audit_events_dropped";
    assert_eq!(harness.metrics.counter(dropped, &[]), Some(0));
    assert_eq!(harness.audited_outcomes().await, ["store_unavailable"; 3]);
}

#[tokio::test]
async fn attempts_that_a_stop_leaves_unwritten_are_counted_as_lost() {
    let harness = Harness::new().await;
    harness.user("ada", Role::User).await;
    let (trail, writer) =
        AuditTrail::new(harness.stores.audit.clone(), harness.audit_metrics.clone());
    let lock = harness.write_lock().await;
    let writer = tokio::spawn(writer.run());
    let event = || AuditEvent::new(Kind::Login, harness.clock.now(), "cancelled");
    for _ in 0..3 {
        trail.record(event());
    }
    // The writer has taken some of these events; the others are queued.
    tokio::time::sleep(Duration::from_millis(20)).await;
    for _ in 0..4 {
        trail.record(event());
    }
    writer.abort();
    assert!(writer.await.unwrap_err().is_cancelled());
    let dropped = || {
        let dropped = "skriptoteket.audit_events_dropped";
        harness.metrics.counter(dropped, &[])
    };
    assert_eq!(dropped(), Some(7));
    trail.record(event());
    assert_eq!(dropped(), Some(8));
    lock.close().await.unwrap();
}

#[tokio::test]
async fn a_flood_of_refused_attempts_leaves_places_in_the_queue_of_the_audit_trail() {
    let harness = Harness::new().await;
    let (trail, writer) =
        AuditTrail::new(harness.stores.audit.clone(), harness.audit_metrics.clone());
    let record = |outcome, n| {
        for _ in 0..n {
            trail.record(AuditEvent::new(Kind::Login, harness.clock.now(), outcome));
        }
        let dropped = "skriptoteket.audit_events_dropped";
        harness.metrics.counter(dropped, &[])
    };
    assert_eq!(record("rate_limited", 10_000), Some(2_000));
    assert_eq!(record("success", 2_000), Some(2_000));
    assert_eq!(record("success", 1), Some(2_001));
    drop(writer);
}

#[tokio::test]
async fn metrics_and_audit_trail_agree_on_every_outcome() {
    let harness = Harness::new().await;
    let user = harness.user("ada", Role::User).await;
    let disabled = harness.user("eve", Role::User).await;
    harness
        .lifecycle
        .change(disabled.id, DISABLED)
        .await
        .unwrap();
    harness.try_login("ada", PASSWORD).await.unwrap();
    harness.try_login("eve", PASSWORD).await.unwrap_err();
    for _ in 0..7 {
        harness.try_login("ada", "wrong").await.unwrap_err();
    }
    for n in 0..14 {
        harness
            .try_login(&format!("nobody{n}"), "wrong")
            .await
            .unwrap_err();
    }
    let cross = Caller {
        cross_site: true,
        ..caller("192.0.2.1")
    };
    harness
        .login
        .login(credentials("ada", PASSWORD), cross)
        .await
        .unwrap_err();
    drop(
        harness
            .login
            .login(credentials("ada", PASSWORD), caller("192.0.2.9")),
    );
    let _ = futures_util::FutureExt::now_or_never(harness.try_login("ada", PASSWORD));

    let mut counted: Vec<(String, u64)> = LoginFailure::NAMES
        .iter()
        .map(|reason| ((*reason).to_owned(), harness.failures(reason)))
        .collect();
    counted.push(("success".into(), harness.logins("success")));
    counted.retain(|(_, n)| *n > 0);
    counted.sort();
    let failures: u64 = LoginFailure::NAMES
        .iter()
        .map(|it| harness.failures(it))
        .sum();
    assert_eq!(failures, harness.logins("failure"));
    let attempts = failures + harness.logins("success");
    assert_eq!(
        attempts,
        1 + 1 + 7 + 14 + 1 + 1,
        "a future that was never polled is not an attempt"
    );

    let account = account(&harness.stores.accounts, &user).await;
    assert_eq!(
        account.version, user.version,
        "failed logins do not change the account"
    );
    let outcomes = harness.audited_outcomes().await;
    let mut audited: Vec<(String, u64)> = Vec::new();
    for (name, _) in &counted {
        let n = outcomes.iter().filter(|it| *it == name).count() as u64;
        audited.push((name.clone(), n));
    }
    assert_eq!(audited, counted);
    assert_eq!(outcomes.len() as u64, attempts);
}
