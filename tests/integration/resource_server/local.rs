//! Tokens that the other application verifies with the issuer's public keys.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use skriptoteket::clock::ManualClock;
use skriptoteket_testing::jwt::encoded;

use crate::resource_server::{
    application::Application,
    issuer::{Issuer, LIFETIME},
};

const SECOND: Duration = Duration::from_secs(1);

async fn world() -> (Issuer, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::default());
    (Issuer::start(clock.clone()).await, clock)
}

/// Returns the token with `kid` in its header, as if that key had signed it.
fn with_kid(token: &str, kid: &str) -> String {
    let (_, rest) = token.split_once('.').unwrap();
    let header = format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{kid}"}}"#);
    format!("{}.{rest}", encoded(header))
}

#[tokio::test]
async fn a_token_is_let_in_and_counted_under_its_service() {
    let (issuer, clock) = world().await;
    let application = Application::locally(&issuer, &clock);
    let token = issuer.token("orders").await;
    // There is no series for a service before its first authentication.
    assert_eq!(application.successes("orders"), None);
    for n in 1..=3 {
        assert_eq!(application.identify(&token).await, Ok("orders".into()));
        assert_eq!(application.successes("orders"), Some(n));
    }
    let labels = [
        ("service_id", "orders"),
        ("operation", "token_verification"),
    ];
    let name = "skriptoteket.auth_latency";
    assert_eq!(application.metrics.histogram_count(name, &labels), Some(3));
    assert_eq!(issuer.fetches(), 1);
    assert_eq!(issuer.introspections(), 0);
}

#[tokio::test]
async fn a_token_that_is_not_right_is_counted_once_under_its_reason() {
    let (issuer, clock) = world().await;
    let application = Application::locally(&issuer, &clock);
    let elsewhere = Application::new(&issuer.url, clock.clone(), |server| {
        let server = server.audience("https://elsewhere.example.org");
        server.verify_locally().unwrap()
    });
    let token = issuer.token("orders").await;
    let counted = (Some(1), Some(1));

    assert_eq!(elsewhere.identify(&token).await, Err("wrong_audience"));
    assert_eq!(elsewhere.failures("orders", "wrong_audience"), counted);

    let (signed, signature) = token.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { "B" } else { "A" };
    let tampered = format!("{signed}.{first}{}", &signature[1..]);
    assert_eq!(application.identify(&tampered).await, Err("bad_signature"));
    assert_eq!(application.failures("_other", "bad_signature"), counted);

    let large = "a".repeat(1_000_000);
    assert_eq!(application.identify(&large).await, Err("malformed"));
    assert_eq!(application.failures("_other", "malformed"), counted);

    assert_eq!(application.identify(&token).await, Ok("orders".into()));
    clock.advance(LIFETIME + 59 * SECOND);
    assert_eq!(application.identify(&token).await, Ok("orders".into()));
    clock.advance(SECOND);
    // First while it is cached, then as unknown to this application.
    assert_eq!(application.identify(&token).await, Err("expired_token"));
    assert_eq!(application.failures("orders", "expired_token"), counted);
    let fresh = Application::locally(&issuer, &clock);
    assert_eq!(fresh.identify(&token).await, Err("expired_token"));
    assert_eq!(fresh.failures("orders", "expired_token"), counted);
    assert_eq!(application.successes("orders"), Some(2));
}

#[tokio::test]
async fn a_rotation_of_the_issuers_keys_refuses_nobody() {
    let (issuer, clock) = world().await;
    let application = Application::locally(&issuer, &clock);
    let old = issuer.token("orders").await;
    assert_eq!(application.identify(&old).await, Ok("orders".into()));
    issuer.rotate().await;
    let mut new = old.clone();
    for _ in 0..40 {
        clock.advance(SECOND / 10);
        new = issuer.token("stock").await;
        assert_eq!(application.identify(&new).await, Ok("stock".into()));
        assert_eq!(application.identify(&old).await, Ok("orders".into()));
    }
    let key = |token: &str| token.split('.').next().map(str::to_owned);
    assert_ne!(key(&new), key(&old), "another key signs");
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test]
async fn made_up_keys_do_not_make_it_hammer_the_issuer() {
    let (issuer, clock) = world().await;
    let application = Application::locally(&issuer, &clock);
    let token = issuer.token("orders").await;
    assert_eq!(application.identify(&token).await, Ok("orders".into()));
    assert_eq!(issuer.fetches(), 1);
    let flood = async |round: u32| {
        let made_up = (0..50).map(|n| with_kid(&token, &format!("key-{round}-{n}")));
        let made_up: Vec<String> = made_up.collect();
        let answers = join_all(made_up.iter().map(|it| application.identify(it))).await;
        assert!(answers.iter().all(|it| *it == Err("bad_signature")));
    };
    flood(0).await;
    assert_eq!(issuer.fetches(), 1, "the keys are younger than a second");
    for round in 1..=3 {
        clock.advance(SECOND);
        flood(round).await;
        assert_eq!(issuer.fetches(), 1 + u64::from(round));
    }
    clock.advance(SECOND / 2);
    flood(4).await;
    assert_eq!(issuer.fetches(), 4);
    assert_eq!(application.failures("_other", "bad_signature").0, Some(250));
}

#[tokio::test]
async fn keys_are_fetched_again_when_the_issuer_says_so_and_once_for_all() {
    let (issuer, clock) = world().await;
    let application = Application::locally(&issuer, &clock);
    let token = issuer.token("orders").await;
    let all = async || {
        let answers = join_all((0..50).map(|_| application.identify(&token))).await;
        assert!(answers.iter().all(Result::is_ok));
    };
    all().await;
    assert_eq!(issuer.fetches(), 1);
    clock.advance(299 * SECOND);
    all().await;
    assert_eq!(issuer.fetches(), 1);
    clock.advance(SECOND);
    all().await;
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test]
async fn while_the_issuer_is_away_its_last_keys_are_used_for_a_day() {
    let (mut issuer, clock) = world().await;
    let application = Application::locally(&issuer, &clock);
    let late = Application::locally(&issuer, &clock);
    clock.advance(SECOND * 2);
    let token = issuer.token("orders").await;
    assert_eq!(application.identify(&token).await, Ok("orders".into()));
    clock.advance(SECOND * 2);
    issuer.stop().await;

    assert_eq!(late.identify(&token).await, Err("store_unavailable"));
    let unavailable = (Some(1), Some(1));
    assert_eq!(late.failures("_other", "store_unavailable"), unavailable);
    assert_eq!(late.identify("garbage").await, Err("malformed"));
    for _ in 0..23 {
        clock.advance(Duration::from_hours(1));
        let answers = join_all((0..20).map(|_| application.identify(&token))).await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    }
    // It cannot be determined now whether the issuer has that key.
    let unknown = with_kid(&token, "new");
    assert_eq!(
        application.identify(&unknown).await,
        Err("store_unavailable")
    );
    clock.advance(Duration::from_hours(1));
    assert_eq!(application.identify(&token).await, Err("store_unavailable"));
}

#[tokio::test]
async fn a_verifier_by_keys_does_not_see_a_revocation_or_a_disabled_service() {
    let (issuer, clock) = world().await;
    let application = Application::locally(&issuer, &clock);
    let token = issuer.token("orders").await;
    issuer.revoke("orders", &token).await;
    issuer.disable("orders").await;
    clock.advance(SECOND * 400);
    // As documented: an application that needs immediate revocation uses introspection.
    assert_eq!(application.identify(&token).await, Ok("orders".into()));
}
