//! Issuers that rotate their keys, become unavailable and come back.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use skriptoteket::{
    clock::{Clock, ManualClock},
    services::{Claims, KeyAlgorithm, NewKey, SigningKey, SigningKeys},
};
use uuid::Uuid;

use crate::resource_server::{application::Application, stub::Stub};

const AUDIENCE: &str = "https://api.example.org";
const MINUTE: Duration = Duration::from_mins(1);

fn signing_keys(clock: &ManualClock) -> SigningKeys {
    let NewKey { id, private, .. } = NewKey::generate(KeyAlgorithm::EdDsa).unwrap();
    let key = SigningKey {
        id,
        algorithm: KeyAlgorithm::EdDsa,
        private,
        created_at: clock.now(),
        active_from: clock.now(),
        expires_at: None,
    };
    SigningKeys::read(&[key]).unwrap()
}

fn token(keys: &SigningKeys, issuer: &str, clock: &ManualClock) -> String {
    let claims = Claims {
        issuer: issuer.to_owned(),
        service: "orders".parse().unwrap(),
        registration: Uuid::new_v4(),
        audiences: vec![AUDIENCE.to_owned()],
        issued_at: clock.now(),
        expires_at: clock.now().plus(Duration::from_hours(1)),
        token: Uuid::new_v4(),
        scopes: Vec::new(),
    };
    keys.sign(clock.now(), &claims).unwrap()
}

fn application(stub: &Stub, clock: &Arc<ManualClock>) -> Application {
    Application::new(&stub.url, clock.clone(), |server| {
        server.audience(AUDIENCE).verify_locally().unwrap()
    })
}

#[tokio::test]
async fn a_key_that_the_issuer_takes_back_is_refused_with_all_that_it_signed() {
    let clock = Arc::new(ManualClock::default());
    let (lost, new) = (signing_keys(&clock), signing_keys(&clock));
    let stub = Stub::with("200 OK", "", lost.jwks());
    let application = application(&stub, &clock);
    let token = token(&lost, &stub.url, &clock);
    assert_eq!(application.identify(&token).await, Ok("orders".into()));
    stub.answers("200 OK", "", new.jwks());
    clock.advance(5 * MINUTE);
    // Its validity was cached.
    assert_eq!(application.identify(&token).await, Err("bad_signature"));
}

#[tokio::test]
async fn an_issuer_may_say_for_how_long_its_keys_are_fresh() {
    let clock = Arc::new(ManualClock::default());
    let keys = signing_keys(&clock);
    let stub = Stub::with("200 OK", "cache-control: max-age=1200\r\n", keys.jwks());
    let application = application(&stub, &clock);
    let token = token(&keys, &stub.url, &clock);
    for (minutes, asked) in [(0, 1), (19, 1), (1, 2), (19, 2)] {
        clock.advance(minutes * MINUTE);
        assert_eq!(application.identify(&token).await, Ok("orders".into()));
        assert_eq!(stub.asked(), asked);
    }
}

#[tokio::test]
async fn an_issuer_that_comes_back_is_believed_again() {
    let clock = Arc::new(ManualClock::default());
    let (old, new) = (signing_keys(&clock), signing_keys(&clock));
    let stub = Stub::with("503 Service Unavailable", "", "");
    let application = application(&stub, &clock);
    let shown = token(&old, &stub.url, &clock);
    assert_eq!(application.identify(&shown).await, Err("store_unavailable"));
    stub.answers("200 OK", "", old.jwks());
    clock.advance(Duration::from_secs(1));
    assert_eq!(application.identify(&shown).await, Ok("orders".into()));
    stub.answers("200 OK", "", "not a JWK Set");
    clock.advance(6 * MINUTE);
    assert_eq!(application.identify(&shown).await, Ok("orders".into()));
    stub.answers("200 OK", "", new.jwks());
    let unknown = token(&new, &stub.url, &clock);
    assert_eq!(
        application.identify(&unknown).await,
        Err("store_unavailable")
    );
    clock.advance(Duration::from_secs(1));
    assert_eq!(application.identify(&unknown).await, Ok("orders".into()));
    assert_eq!(application.identify(&shown).await, Err("bad_signature"));
}

#[tokio::test]
async fn a_silent_issuer_keeps_one_request_waiting_and_not_all() {
    let clock = Arc::new(ManualClock::default());
    let keys = signing_keys(&clock);
    let stub = Stub::with("200 OK", "", keys.jwks());
    let application = Application::new(&stub.url, clock.clone(), |server| {
        let server = server.audience(AUDIENCE).timeout(Duration::from_secs(3));
        server.verify_locally().unwrap()
    });
    let token = token(&keys, &stub.url, &clock);
    assert_eq!(application.identify(&token).await, Ok("orders".into()));
    stub.falls_silent();
    clock.advance(5 * MINUTE);
    // All wait for the first request, since its result is unknown.
    let all = async || join_all((0..20).map(|_| application.identify(&token))).await;
    assert!(all().await.iter().all(Result::is_ok));
    assert_eq!(stub.asked(), 2);
    // After that the issuer is queried from time to time, by one caller that waits while the others continue.
    clock.advance(Duration::from_secs(5));
    let mut waits = std::pin::pin!(application.identify(&token));
    let others = tokio::select! {
        // The order matters: the first caller sends the request.
        biased;
        one = &mut waits => panic!("{one:?} without waiting for the others"),
        others = all() => others,
    };
    let one = waits.await;
    assert!(one.is_ok() && others.iter().all(Result::is_ok));
    assert_eq!(stub.asked(), 3);
}
