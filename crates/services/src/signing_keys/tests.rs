use std::{collections::HashSet, time::Duration};

use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::*;
use crate::{
    Expected, InvalidJwks,
    token::tests::{NOW, TestKey, claims},
};

const HOUR: Duration = Duration::from_hours(1);

/// Keys that become active at these hours from now.
fn keys(hours: &[u32]) -> Vec<SigningKey> {
    let key = |hour: &u32| SigningKey {
        active_from: NOW.plus(*hour * HOUR),
        ..TestKey::new(KeyAlgorithm::EdDsa).0
    };
    hours.iter().map(key).collect()
}

fn active_at(keys: &SigningKeys, hour: u32) -> String {
    keys.active(NOW.plus(hour * HOUR)).unwrap().id().to_owned()
}

#[test]
fn the_key_that_became_active_last_signs() {
    let stored = keys(&[4, 2, 6]);
    let keys = SigningKeys::read(&stored).unwrap();
    for (hour, index) in [
        (0, 1),
        (1, 1),
        (2, 1),
        (3, 1),
        (4, 0),
        (5, 0),
        (6, 2),
        (99, 2),
    ] {
        assert_eq!(active_at(&keys, hour), stored[index].id, "{hour}");
    }
    let active = keys.active(NOW).unwrap();
    assert_eq!(active.active_from(), NOW.plus(2 * HOUR));
    assert_eq!(active.algorithm(), KeyAlgorithm::EdDsa);
}

#[test]
fn a_token_is_opened_by_every_set_that_has_its_key() {
    let keys = keys(&[0, 2]);
    let (old, both, new) = (&keys[..1], &keys[..], &keys[1..]);
    let [old, both, new] = [old, both, new].map(|keys| SigningKeys::read(keys).unwrap());
    let later = NOW.plus(2 * HOUR);
    let expected = Expected {
        issuer: "https://login.example",
        audiences: &["https://api.example"],
    };
    let opens = |keys: &SigningKeys, token: &str| {
        let opened = keys.verification_keys().open(token, NOW, &expected);
        opened.map(|_| ()).map_err(|refused| refused.unknown_key)
    };
    let before = both.sign(NOW, &claims()).unwrap();
    let after = both.sign(later, &claims()).unwrap();
    assert_eq!(opens(&old, &before), Ok(()));
    assert_eq!(opens(&both, &before), Ok(()));
    assert_eq!(opens(&new, &before), Err(true));
    assert_eq!(opens(&old, &after), Err(true));
    assert_eq!(opens(&both, &after), Ok(()));
    assert_eq!(opens(&new, &after), Ok(()));
}

#[test]
fn every_key_is_published_without_its_private_part() {
    let mut stored = keys(&[0, 5]);
    stored.push(TestKey::new(KeyAlgorithm::Es256).0);
    let keys = SigningKeys::read(&stored).unwrap();
    let set: Value = serde_json::from_str(keys.jwks()).unwrap();
    let published = set["keys"].as_array().unwrap();
    assert_eq!(published.len(), 3);
    for (jwk, key) in published.iter().zip(&stored) {
        assert_eq!(jwk["kid"], json!(key.id));
        assert_eq!(jwk["alg"], json!(key.algorithm.as_str()));
        assert_eq!(jwk["use"], json!("sig"));
        let names: HashSet<&str> = jwk
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let expected = match key.algorithm {
            KeyAlgorithm::EdDsa => vec!["alg", "crv", "kid", "kty", "use", "x"],
            KeyAlgorithm::Es256 => vec!["alg", "crv", "kid", "kty", "use", "x", "y"],
        };
        assert_eq!(names, HashSet::from_iter(expected));
        assert!(keys.knows(&key.id) && keys.verification_keys().knows(&key.id));
    }
    assert!(!keys.knows(""));
}

#[test]
fn a_key_is_named_by_its_thumbprint_and_is_made_once() {
    for algorithm in [KeyAlgorithm::EdDsa, KeyAlgorithm::Es256] {
        let made: Vec<NewKey> = (0..20)
            .map(|_| NewKey::generate(algorithm).unwrap())
            .collect();
        let ids: HashSet<&str> = made.iter().map(|key| key.id.as_str()).collect();
        assert_eq!(ids.len(), made.len());
        assert!(ids.iter().all(|id| id.len() == 43));
        assert!(made.iter().all(|key| key.algorithm == algorithm));
    }
}

#[test]
fn a_key_that_cannot_be_read_is_named() {
    let good = TestKey::new(KeyAlgorithm::EdDsa).0;
    let mut cut = good.clone();
    cut.id = "the-cut-one".to_owned();
    cut.private = good.private.expose_secret()[..40].to_vec().into();
    let mut other_kind = good.clone();
    other_kind.id = "the-other-kind".to_owned();
    other_kind.algorithm = KeyAlgorithm::Es256;
    let mut empty = good.clone();
    empty.id = "the-empty-one".to_owned();
    empty.private = Vec::new().into();
    for bad in [cut, other_kind, empty] {
        let error = SigningKeys::read(&[good.clone(), bad.clone()]).unwrap_err();
        assert!(error.to_string().contains(&bad.id), "{error}");
        assert!(std::error::Error::source(&error).is_some());
    }
}

#[test]
fn an_empty_ring_signs_nothing() {
    let keys = SigningKeys::read(&[]).unwrap();
    assert_eq!(&**keys.jwks(), r#"{"keys":[]}"#);
    assert!(keys.active(NOW).is_none());
    assert!(matches!(keys.sign(NOW, &claims()), Err(KeyError::NoKey)));
}

#[test]
fn a_token_that_nobody_would_read_is_not_made() {
    let keys = TestKey::new(KeyAlgorithm::EdDsa).signing_keys();
    let mut large = claims();
    large.audiences = vec!["a".repeat(MAX_TOKEN)];
    assert!(matches!(keys.sign(NOW, &large), Err(KeyError::TooLarge)));
    // The maximum that a service can request at once fits.
    let mut full = claims();
    let scope = |i| format!("{i:0>64}").parse().unwrap();
    full.scopes = (0..50).map(scope).collect();
    assert!(keys.sign(NOW, &full).is_ok());
}

#[test]
fn a_key_does_not_show_itself() {
    for algorithm in [KeyAlgorithm::EdDsa, KeyAlgorithm::Es256] {
        let new = NewKey::generate(algorithm).unwrap();
        let key = TestKey::new(algorithm);
        let keys = key.signing_keys();
        let shown = format!("{new:?} {:?} {keys:?} {:?}", key.0, keys.active(NOW));
        assert!(shown.contains(&key.0.id) && shown.contains(&new.id));
        for private in [&new.private, &key.0.private] {
            let bytes = private.expose_secret();
            let last = &bytes[bytes.len() - 16..];
            assert!(!shown.contains(&encoded(bytes)));
            assert!(!shown.contains(&format!("{last:?}")[1..40]));
        }
    }
}

#[test]
fn a_set_of_another_issuer_is_read_as_far_as_it_is_of_use() {
    let ours: Value =
        serde_json::from_str(TestKey::new(KeyAlgorithm::EdDsa).signing_keys().jwks()).unwrap();
    let good = &ours["keys"][0];
    let without = |name: &str| {
        let mut jwk = good.clone();
        jwk.as_object_mut().unwrap().remove(name);
        jwk
    };
    let read = |keys: Value| VerificationKeys::from_jwks(&json!({ "keys": keys }).to_string());
    let strange = json!([
        { "kty": "oct", "k": "c2VjcmV0", "kid": "hmac" },
        { "kty": "RSA", "n": crate::token::tests::rsa_modulus(), "e": "AQAB", "kid": "rsa" },
        { "kty": "new", "kid": "new" },
        "text", null, 1, without("kid"), good,
    ]);
    let keys = read(strange.clone()).unwrap();
    assert!(keys.knows(good["kid"].as_str().unwrap()));
    for kid in ["hmac", "rsa", "new"] {
        assert!(!keys.knows(kid), "{kid}");
    }
    let mut useless = strange;
    useless.as_array_mut().unwrap().pop();
    assert_eq!(read(useless).unwrap_err(), InvalidJwks::NoKeys);
    assert_eq!(read(json!([])).unwrap_err(), InvalidJwks::NoKeys);
    assert!(read(vec![good; 32].into_iter().cloned().collect()).is_ok());
    let many = read(vec![good; 33].into_iter().cloned().collect());
    assert_eq!(many.unwrap_err(), InvalidJwks::TooManyKeys);
    for no_set in [
        "",
        "{}",
        "[]",
        "null",
        r#"{"keys":{}}"#,
        r#"{"keys":[]"#,
        "<html>",
    ] {
        let error = VerificationKeys::from_jwks(no_set).unwrap_err();
        assert_eq!(error, InvalidJwks::Malformed, "{no_set}");
    }
    let large = format!("{}{}", ours, " ".repeat(VerificationKeys::MAX_JWKS));
    assert_eq!(
        VerificationKeys::from_jwks(&large).unwrap_err(),
        InvalidJwks::TooLarge
    );
    let deep = format!("{{\"keys\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000));
    assert_eq!(
        VerificationKeys::from_jwks(&deep).unwrap_err(),
        InvalidJwks::Malformed
    );
}
