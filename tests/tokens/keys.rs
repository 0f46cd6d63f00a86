//! Signing keys that change while tokens are in use.

use std::time::Duration;

use serde_json::Value;
use skriptoteket::{
    clock::Clock,
    config::TokenAlgorithm,
    services::{FRESH, SKEW},
};

use crate::house::House;

const MINUTE: Duration = Duration::from_mins(1);

async fn published(replica: &crate::house::Replica) -> usize {
    let jwks = replica.tokens.jwks().await.unwrap();
    let jwks: Value = serde_json::from_str(&jwks).unwrap();
    jwks["keys"].as_array().unwrap().len()
}

#[tokio::test]
async fn replicas_that_start_together_make_one_key() {
    let house = House::new();
    let (one, other) = (house.replica().await, house.replica().await);
    assert!(!one.keeper.tend().await.unwrap() && !other.keeper.tend().await.unwrap());
    let (a, b) = tokio::join!(one.keeper.rotate(true), other.keeper.rotate(true));
    let made = [a.unwrap(), b.unwrap()]
        .into_iter()
        .filter(|it| *it)
        .count();
    assert_eq!(one.keeper.keys().await.unwrap().len(), 1 + made);
    assert!(made >= 1);
}

#[tokio::test]
async fn a_change_of_keys_refuses_no_token_on_any_replica() {
    let house = House::new();
    let (one, other) = (house.replica().await, house.replica().await);
    let issued = one.register("orders").await;
    let lifetime = house.settings.token_lifetime;
    let mut kept = Vec::new();
    let mut kids = std::collections::BTreeSet::new();
    // Three changes: by time, by hand, by hand and soon. A token a second, half a minute around each, kept until it
    // expires.
    let due = house
        .settings
        .key_rotation
        .checked_sub(house.settings.key_lead);
    house.pass(due.and_then(|it| it.checked_sub(MINUTE / 2)).unwrap());
    for change in 0..3 {
        for second in 0..60 {
            if second == 30 {
                let changed = match change {
                    0 => one.keeper.tend().await.unwrap(),
                    1 => other.keeper.rotate(false).await.unwrap(),
                    _ => one.keeper.rotate(true).await.unwrap(),
                };
                assert!(changed, "{change}");
            }
            let maker = if second % 2 == 0 { &one } else { &other };
            let token = maker.token(&issued).await.unwrap();
            kids.insert(header_of(&token)["kid"].to_string());
            kept.push((house.clock.monotonic() + lifetime, token));
            for replica in [&one, &other] {
                for (until, token) in &kept {
                    if house.clock.monotonic() < *until {
                        assert!(replica.comes_with(token).await.is_ok(), "{change} {second}");
                    }
                }
            }
            house.pass(Duration::from_secs(1));
            let now = house.clock.monotonic();
            kept.retain(|(until, _)| now < *until);
        }
        house.pass(house.settings.key_lead);
    }
    let token = other.token(&issued).await.unwrap();
    kids.insert(header_of(&token)["kid"].to_string());
    assert_eq!(kids.len(), 4);
    // What is over is not published for ever.
    house.pass(lifetime + 2 * SKEW + FRESH);
    one.keeper.rotate(true).await.unwrap();
    house.pass(FRESH);
    assert_eq!(published(&one).await, 2);
}

#[tokio::test]
async fn another_algorithm_in_the_settings_takes_over_without_refusing_a_token() {
    let mut house = House::new();
    let one = house.replica().await;
    let issued = one.register("orders").await;
    let old = one.token(&issued).await.unwrap();
    assert_eq!(header_of(&old)["alg"], "EdDSA");

    house.settings.algorithm = TokenAlgorithm::Es256;
    house.settings.key_lead = Duration::from_secs(10);
    let two = house.replica().await;
    assert!(two.keeper.tend().await.unwrap());
    assert!(!two.keeper.tend().await.unwrap());
    house.pass(Duration::from_secs(10));
    let new = one.token(&issued).await.unwrap();
    assert_eq!(header_of(&new)["alg"], "ES256");
    for token in [&old, &new] {
        assert!(one.comes_with(token).await.is_ok() && two.comes_with(token).await.is_ok());
    }
}

fn header_of(token: &secrecy::SecretString) -> Value {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    use secrecy::ExposeSecret;
    let header = token.expose_secret().split('.').next().unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap()
}
