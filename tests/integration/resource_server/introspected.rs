//! Tokens that the other application introspects at the issuer.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use skriptoteket::{clock::ManualClock, services::AuthFailure};

use crate::resource_server::{
    application::Application,
    issuer::{ITSELF, Issuer, LIFETIME},
};

const SECOND: Duration = Duration::from_secs(1);
const COUNTED: (Option<u64>, Option<u64>) = (Some(1), Some(1));

async fn world() -> (Issuer, Arc<ManualClock>, Application) {
    let clock = Arc::new(ManualClock::default());
    let issuer = Issuer::start(clock.clone()).await;
    let application = Application::by_introspection(&issuer, &clock);
    (issuer, clock, application)
}

#[tokio::test]
async fn a_token_is_let_in_and_asked_about_once_in_half_a_second() {
    let (issuer, clock, application) = world().await;
    let token = issuer.token("orders").await;
    let all = join_all((0..50).map(|_| application.identify(&token))).await;
    assert!(all.iter().all(|it| *it == Ok("orders".into())));
    assert_eq!(issuer.introspections(), 1);
    assert_eq!(application.successes("orders"), Some(50));
    clock.advance(SECOND / 4);
    assert_eq!(application.identify(&token).await, Ok("orders".into()));
    assert_eq!(issuer.introspections(), 1);
    clock.advance(SECOND / 4);
    assert_eq!(application.identify(&token).await, Ok("orders".into()));
    assert_eq!(issuer.introspections(), 2);
    assert_eq!(issuer.fetches(), 0);
    // Both return the same claims.
    let claims = application.bearer.identify(Ok(&token)).await.unwrap();
    let local = Application::locally(&issuer, &clock);
    let mut expected = (*local.bearer.identify(Ok(&token)).await.unwrap()).clone();
    // The issuer does not disclose the registration.
    expected.registration = claims.registration;
    assert_eq!(*claims, expected);
}

#[tokio::test]
async fn a_revoked_token_is_refused_within_a_second() {
    let (issuer, clock, application) = world().await;
    let token = issuer.token("orders").await;
    assert_eq!(application.identify(&token).await, Ok("orders".into()));
    issuer.revoke("orders", &token).await;
    clock.advance(SECOND);
    assert_eq!(application.identify(&token).await, Err("revoked_token"));
    assert_eq!(application.failures("_other", "revoked_token"), COUNTED);
    assert_eq!(issuer.introspections(), 2);
}

#[tokio::test]
async fn an_answer_is_not_kept_beyond_the_life_of_the_token() {
    let (issuer, clock, application) = world().await;
    let token = issuer.token("orders").await;
    clock.advance(LIFETIME);
    // The issuer still accepts the token, to tolerate clock skew. It may reject it at any moment.
    for asked in 1..=3 {
        assert_eq!(application.identify(&token).await, Ok("orders".into()));
        assert_eq!(issuer.introspections(), asked);
        clock.advance(Duration::from_millis(1));
    }
}

#[tokio::test]
async fn a_disabled_service_is_refused_within_a_second() {
    let (issuer, clock, application) = world().await;
    let token = issuer.token("orders").await;
    assert_eq!(application.identify(&token).await, Ok("orders".into()));
    issuer.disable("orders").await;
    clock.advance(SECOND);
    assert_eq!(application.identify(&token).await, Err("revoked_token"));
}

#[tokio::test]
async fn what_is_not_right_is_refused_and_what_is_no_token_is_not_asked_about() {
    let (issuer, clock, application) = world().await;
    let token = issuer.token("orders").await;
    for garbage in ["", "garbage", "a.b.c", &"a".repeat(1_000_000)] {
        assert_eq!(application.identify(garbage).await, Err("malformed"));
    }
    assert_eq!(issuer.introspections(), 0);

    let elsewhere = Application::new(&issuer.url, clock.clone(), |server| {
        let server = server.audience("https://elsewhere.example.org");
        let verifier = server.verify_by_introspection(ITSELF, issuer.secret(ITSELF));
        verifier.unwrap()
    });
    assert_eq!(elsewhere.identify(&token).await, Err("wrong_audience"));
    assert_eq!(elsewhere.failures("orders", "wrong_audience"), COUNTED);

    let (signed, signature) = token.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { "B" } else { "A" };
    let tampered = format!("{signed}.{first}{}", &signature[1..]);
    // The issuer does not return reasons.
    assert_eq!(application.identify(&tampered).await, Err("revoked_token"));
    assert_eq!(application.identify(&token).await, Ok("orders".into()));
    clock.advance(LIFETIME + 61 * SECOND);
    assert_eq!(application.identify(&token).await, Err("revoked_token"));
}

#[tokio::test]
async fn without_the_issuer_no_token_is_accepted() {
    let (mut issuer, clock, application) = world().await;
    let token = issuer.token("orders").await;
    assert_eq!(application.identify(&token).await, Ok("orders".into()));
    issuer.stop().await;
    clock.advance(SECOND);
    for _ in 0..2 {
        let answers = join_all((0..20).map(|_| application.identify(&token))).await;
        assert!(answers.iter().all(|it| *it == Err("store_unavailable")));
        clock.advance(SECOND);
    }
    let (failed, looked_at) = application.failures("_other", "store_unavailable");
    assert_eq!((failed, looked_at), (Some(40), Some(40)));
}

#[tokio::test]
async fn credentials_that_the_issuer_refuses_are_a_fault_of_our_own_and_never_a_yes() {
    let (issuer, clock, _) = world().await;
    let token = issuer.token("orders").await;
    let application = Application::new(&issuer.url, clock, |server| {
        let server = server.audience(&issuer.url);
        server
            .verify_by_introspection(ITSELF, "sks_wrong".into())
            .unwrap()
    });
    let failure = application.bearer.identify(Ok(&token)).await.unwrap_err();
    assert!(matches!(failure, AuthFailure::Internal(_)));
    let said = format!("{failure:?} {failure}");
    assert!(
        !said.contains("sks_wrong") && !said.contains(&token),
        "{said}"
    );
    assert_eq!(application.failures("_other", "internal_error"), COUNTED);
}
