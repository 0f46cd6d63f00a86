//! Rotation of signing keys while tokens are in use.

use std::time::Duration;

use ed25519_dalek::pkcs8::DecodePrivateKey;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use skriptoteket::{
    clock::Clock,
    services::{FRESH, Issued, SKEW, SigningKey, TokenAlgorithm},
};
use skriptoteket_testing::jwt::{KeyPair, part};

use crate::tokens::harness::{Harness, ISSUER};

const MINUTE: Duration = Duration::from_mins(1);

async fn published(replica: &crate::tokens::harness::Replica) -> usize {
    let jwks = replica.tokens.jwks().await.unwrap();
    let jwks: Value = serde_json::from_str(&jwks).unwrap();
    jwks["keys"].as_array().unwrap().len()
}

#[tokio::test]
async fn replicas_that_start_together_make_one_key() {
    let harness = Harness::new();
    let (one, other) = (harness.replica().await, harness.replica().await);
    assert!(
        !one.key_rotator.rotate_if_due(true).await.unwrap()
            && !other.key_rotator.rotate_if_due(true).await.unwrap()
    );
    let (a, b) = tokio::join!(one.key_rotator.rotate(true), other.key_rotator.rotate(true));
    let made = [a.unwrap(), b.unwrap()]
        .into_iter()
        .filter(|it| *it)
        .count();
    assert_eq!(one.key_rotator.keys().await.unwrap().len(), 1 + made);
    assert!(made >= 1);
}

#[tokio::test]
async fn a_change_of_keys_refuses_no_token_on_any_replica() {
    let harness = Harness::new();
    let (one, other) = (harness.replica().await, harness.replica().await);
    let issued = one.register("orders").await;
    let lifetime = harness.settings.token_lifetime;
    let mut kept = Vec::new();
    let mut kids = std::collections::BTreeSet::new();
    // Three rotations: when due, by hand, and by hand as soon as possible. One token is issued per second, from half a
    // minute before to half a minute after each, and kept until it expires.
    let due = harness
        .settings
        .key_rotation
        .checked_sub(harness.settings.key_lead);
    harness.pass(due.and_then(|it| it.checked_sub(MINUTE / 2)).unwrap());
    for change in 0..3 {
        for second in 0..60 {
            if second == 30 {
                let changed = match change {
                    0 => one.key_rotator.rotate_if_due(true).await.unwrap(),
                    1 => other.key_rotator.rotate(false).await.unwrap(),
                    _ => one.key_rotator.rotate(true).await.unwrap(),
                };
                assert!(changed, "{change}");
            }
            let maker = if second % 2 == 0 { &one } else { &other };
            let token = maker.token(&issued).await.unwrap();
            kids.insert(header_of(&token)["kid"].to_string());
            kept.push((harness.clock.monotonic() + lifetime, token));
            for replica in [&one, &other] {
                for (until, token) in &kept {
                    if harness.clock.monotonic() < *until {
                        assert!(replica.comes_with(token).await.is_ok(), "{change} {second}");
                    }
                }
            }
            harness.pass(Duration::from_secs(1));
            let now = harness.clock.monotonic();
            kept.retain(|(until, _)| now < *until);
        }
        harness.pass(harness.settings.key_lead);
    }
    let token = other.token(&issued).await.unwrap();
    kids.insert(header_of(&token)["kid"].to_string());
    assert_eq!(kids.len(), 4);
    // Expired keys do not stay published.
    harness.pass(lifetime + 2 * SKEW + FRESH);
    one.key_rotator.rotate(true).await.unwrap();
    harness.pass(FRESH);
    assert_eq!(published(&one).await, 2);
}

#[tokio::test]
async fn another_algorithm_in_the_settings_takes_over_without_refusing_a_token() {
    let mut harness = Harness::new();
    let one = harness.replica().await;
    let issued = one.register("orders").await;
    let old = one.token(&issued).await.unwrap();
    assert_eq!(header_of(&old)["alg"], "EdDSA");

    harness.settings.algorithm = TokenAlgorithm::Es256;
    harness.settings.key_lead = Duration::from_secs(10);
    let two = harness.replica().await;
    assert!(two.key_rotator.rotate_if_due(true).await.unwrap());
    assert!(!two.key_rotator.rotate_if_due(true).await.unwrap());
    harness.pass(Duration::from_secs(10));
    let new = one.token(&issued).await.unwrap();
    assert_eq!(header_of(&new)["alg"], "ES256");
    for token in [&old, &new] {
        assert!(one.comes_with(token).await.is_ok() && two.comes_with(token).await.is_ok());
    }
}

fn header_of(token: &SecretString) -> Value {
    part(token.expose_secret(), 0)
}

#[tokio::test]
async fn a_key_that_is_over_opens_nothing_and_is_not_published_though_nothing_else_changes() {
    let harness = Harness::new();
    let replica = harness.replica().await;
    let issued = replica.register("orders").await;
    let old = replica.key_rotator.keys().await.unwrap().remove(0);
    let stolen = forged(&harness, &old, &issued);
    assert!(replica.comes_with(&stolen).await.is_ok());
    assert!(replica.key_rotator.rotate(true).await.unwrap());
    harness.pass(FRESH);
    replica.token(&issued).await.unwrap();

    harness.pass(harness.settings.token_lifetime + 3 * SKEW);
    // One token was cached while its key was valid, and one is new.
    let new = forged(&harness, &old, &issued);
    assert_eq!(
        replica.comes_with(&stolen).await.err(),
        Some("bad_signature")
    );
    assert_eq!(replica.comes_with(&new).await.err(), Some("bad_signature"));
    assert_eq!(published(&replica).await, 1);
}

/// Returns a token that is valid for a day, forged with a stolen private key.
fn forged(harness: &Harness, key: &SigningKey, issued: &Issued) -> SecretString {
    let thief = ed25519_dalek::SigningKey::from_pkcs8_der(key.private.expose_secret()).unwrap();
    let now = harness.clock.now().as_millis() / 1_000;
    let claims = json!({
        "iss": ISSUER, "sub": "orders", "client_id": "orders", "aud": ISSUER, "iat": now, "exp": now + 86_400,
        "jti": uuid::Uuid::new_v4(), "reg": issued.service.registration,
    });
    KeyPair::of(&key.id, thief).jwt("at+jwt", &claims).into()
}

#[tokio::test]
async fn a_key_that_is_overtaken_before_it_signs_never_does() {
    let harness = Harness::new();
    let (one, other) = (harness.replica().await, harness.replica().await);
    let issued = one.register("orders").await;
    assert!(one.key_rotator.rotate(false).await.unwrap());
    let waiting = one.key_rotator.keys().await.unwrap().remove(1).id;
    assert!(one.key_rotator.rotate(true).await.unwrap());
    let last = one.key_rotator.keys().await.unwrap().pop().unwrap().id;
    for _ in 0..4 {
        harness.pass(harness.settings.key_lead);
        let token = one.token(&issued).await.unwrap();
        let kid = header_of(&token)["kid"].as_str().unwrap().to_owned();
        assert!(kid == last && kid != waiting);
        assert!(other.comes_with(&token).await.is_ok());
    }
}

#[tokio::test]
async fn replicas_set_to_different_algorithms_do_not_make_keys_for_ever() {
    let mut harness = Harness::new();
    let one = harness.replica().await;
    harness.settings.algorithm = TokenAlgorithm::Es256;
    let other = harness.replica().await;
    for _ in 0..60 {
        one.key_rotator.rotate_if_due(true).await.unwrap();
        other.key_rotator.rotate_if_due(true).await.unwrap();
        harness.pass(MINUTE);
    }
    assert!(published(&one).await <= 8, "{}", published(&one).await);
}

#[tokio::test]
async fn a_key_that_was_made_while_the_clock_was_ahead_stops_no_rotation() {
    let harness = Harness::new();
    let one = harness.replica().await;
    let issued = one.register("orders").await;
    let right = harness.clock.now();
    harness.clock.set(right.plus(400 * 24 * 60 * MINUTE));
    assert!(one.key_rotator.rotate(false).await.unwrap());
    harness.clock.set(right);
    assert!(
        !one.key_rotator.rotate_if_due(false).await.unwrap(),
        "the clock may be behind"
    );
    assert!(
        one.key_rotator.rotate_if_due(true).await.unwrap(),
        "the new key replaces it"
    );
    for key in one.key_rotator.keys().await.unwrap() {
        assert!(key.active_from <= right.plus(harness.settings.key_lead));
    }
    assert!(!one.key_rotator.rotate_if_due(true).await.unwrap(), "once");
    one.token(&issued).await.unwrap();
    let before = one.key_rotator.keys().await.unwrap().pop().unwrap().id;
    harness.pass(harness.settings.key_lead);
    harness.pass(harness.settings.key_rotation);
    assert!(one.key_rotator.rotate_if_due(true).await.unwrap());
    assert_ne!(
        one.key_rotator.keys().await.unwrap().pop().unwrap().id,
        before
    );
}
