//! The claims required in a token that we signed.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{BOTH, EXPECTED, MINUTE, NOW, NOW_SECONDS, TestKey, claims, claims_json};
use crate::{Claims, Expected, KeyAlgorithm, SigningKeys, VerificationKeys};
use skriptoteket_core::clock::Timestamp;

#[test]
fn what_is_signed_is_what_is_opened() {
    for key in BOTH.map(TestKey::new) {
        let keys = key.signing_keys();
        let mut all = vec![claims(), claims()];
        all[1].scopes.clear();
        all[1].audiences.push("https://other.example".to_owned());
        for claims in all {
            let token = keys.sign(NOW, &claims).unwrap();
            assert_eq!(
                keys.verification_keys()
                    .open(&token, NOW, &EXPECTED)
                    .unwrap(),
                claims
            );
            // Another application gets the same result from the published keys.
            let public = VerificationKeys::from_jwks(keys.jwks()).unwrap();
            assert_eq!(public.open(&token, NOW, &EXPECTED).unwrap(), claims);
        }
    }
}

#[test]
fn a_token_is_written_as_rfc_9068_has_it() {
    assert_eq!(
        claims_json(),
        json!({
            "iss": "https://login.example",
            "sub": "orders",
            "client_id": "orders",
            "aud": "https://api.example",
            "iat": 1_767_268_800,
            "exp": 1_767_269_400,
            "jti": "00000000-0000-0000-0000-000000000009",
            "scope": "read orders:write",
            "reg": "00000000-0000-0000-0000-000000000007",
        })
    );
    let mut several = claims();
    several.audiences.push("b".to_owned());
    several.scopes.clear();
    several.issued_at = Timestamp::from_millis(NOW.as_millis() + 999);
    let json: Value = serde_json::from_slice(&several.to_json().unwrap()).unwrap();
    assert_eq!(json["aud"], json!(["https://api.example", "b"]));
    assert_eq!(json["iat"], json!(NOW_SECONDS));
    assert_eq!(json.get("scope"), None);
}

#[test]
fn a_token_lasts_from_a_minute_before_until_a_minute_after_its_time() {
    let keys = TestKey::new(KeyAlgorithm::EdDsa).signing_keys();
    let token = keys.sign(NOW, &claims()).unwrap();
    let end = claims().expires_at.plus(MINUTE).as_millis();
    let start = NOW.as_millis() - 60_000;
    for (at, accepted) in [
        (start - 1, false),
        (start, true),
        (end - 1, true),
        (end, false),
        (0, false),
        (i64::MIN, false),
        (i64::MAX, false),
    ] {
        match keys
            .verification_keys()
            .open(&token, Timestamp::from_millis(at), &EXPECTED)
        {
            Ok(_) => assert!(accepted, "{at}"),
            Err(refused) => {
                assert!(!accepted, "{at}");
                assert_eq!(refused.why.reason().as_str(), "expired_token");
                // The signature is valid, so the service is known.
                assert_eq!(refused.claims_service, Some(claims().service));
            }
        }
    }
}

/// Returns the result for changed claims in a token that we signed.
fn judged(key: &TestKey, keys: &SigningKeys, change: impl Fn(&mut Value)) -> &'static str {
    let mut json = claims_json();
    change(&mut json);
    let token = key.sign(&key.header().to_string(), json.to_string().as_bytes());
    super::outcome(keys.verification_keys(), &token)
}

#[test]
fn a_token_that_is_not_valid_yet_is_outside_its_time() {
    let key = TestKey::new(KeyAlgorithm::Es256);
    let keys = key.signing_keys();
    for (name, later, outcome) in [
        ("iat", 60, "accepted"),
        ("iat", 61, "expired_token"),
        ("nbf", 60, "accepted"),
        ("nbf", 61, "expired_token"),
        ("nbf", -1_000, "accepted"),
    ] {
        let change = |it: &mut Value| it[name] = (NOW_SECONDS + later).into();
        assert_eq!(judged(&key, &keys, change), outcome, "{name} {later}");
    }
}

#[test]
fn a_token_of_another_issuer_or_for_somebody_else_is_refused_by_name() {
    let key = TestKey::new(KeyAlgorithm::EdDsa);
    let keys = key.signing_keys();
    for iss in [
        "",
        "https://login.example/",
        "https://LOGIN.example",
        "https://evil.example",
    ] {
        assert_eq!(
            judged(&key, &keys, |it| it["iss"] = iss.into()),
            "wrong_audience"
        );
    }
    for (aud, outcome) in [
        (json!("https://login.example"), "accepted"),
        (json!(["x", "https://api.example"]), "accepted"),
        (json!("https://api.example "), "wrong_audience"),
        (json!("https://api.example,x"), "wrong_audience"),
        (json!(["x"]), "wrong_audience"),
        (json!([]), "wrong_audience"),
        (json!(""), "wrong_audience"),
        (json!(null), "malformed"),
        (json!([["https://api.example"]]), "malformed"),
        (json!({ "0": "https://api.example" }), "malformed"),
        (json!([1]), "malformed"),
    ] {
        assert_eq!(
            judged(&key, &keys, |it| it["aud"] = aud.clone()),
            outcome,
            "{aud}"
        );
    }
    let token = keys.sign(NOW, &claims()).unwrap();
    let nobody = Expected {
        issuer: EXPECTED.issuer,
        audiences: &[],
    };
    let refused = keys
        .verification_keys()
        .open(&token, NOW, &nobody)
        .unwrap_err();
    assert_eq!(refused.why.reason().as_str(), "wrong_audience");
    assert_eq!(refused.claims_service, Some(claims().service));
}

#[test]
fn claims_in_another_form_are_malformed_even_if_we_signed_them() {
    let key = TestKey::new(KeyAlgorithm::EdDsa);
    let keys = key.signing_keys();
    assert_eq!(
        judged(&key, &keys, |it| it["new"] = json!({ "a": [1e300] })),
        "accepted"
    );
    for name in ["iss", "sub", "client_id", "aud", "iat", "exp", "jti", "reg"] {
        let missing = judged(&key, &keys, |it| {
            it.as_object_mut().unwrap().remove(name);
        });
        assert_eq!(missing, "malformed", "{name}");
    }
    for (name, value) in [
        ("iss", json!(1)),
        ("sub", json!("billing")),
        ("sub", json!("Not An Id")),
        ("client_id", json!("billing")),
        ("iat", json!("1767268800")),
        ("iat", json!(1_767_268_800.5)),
        ("iat", json!(-1)),
        ("exp", json!(1_767_269_400.0)),
        ("exp", json!(u64::MAX)),
        ("exp", json!(i64::MAX)),
        ("exp", json!(253_402_300_800_i64)),
        ("exp", json!(null)),
        ("nbf", json!("soon")),
        ("jti", json!("1")),
        ("jti", json!(1)),
        ("reg", json!("")),
        ("scope", json!("")),
        ("scope", json!("read  write")),
        ("scope", json!(" read")),
        ("scope", json!(["read"])),
        ("scope", json!("a\"b")),
    ] {
        let outcome = judged(&key, &keys, |it| it[name] = value.clone());
        assert_eq!(outcome, "malformed", "{name} {value}");
    }
    let good = claims_json().to_string();
    let header = key.header().to_string();
    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("no object", b"[]".to_vec()),
        ("text", b"\"claims\"".to_vec()),
        (
            "twice",
            good.replacen('{', r#"{"sub":"orders","#, 1).into_bytes(),
        ),
        (
            "twice, unknown",
            good.replacen('{', r#"{"x":1,"x":2,"#, 1).into_bytes(),
        ),
        (
            "a number",
            good.replacen("1767269400", "1e999", 1).into_bytes(),
        ),
        (
            "long number",
            good.replacen("1767269400", &"9".repeat(2_000), 1)
                .into_bytes(),
        ),
        (
            "no UTF-8",
            [&b"{\"x\":\"\xff\xfe\","[..], &good.as_bytes()[1..]].concat(),
        ),
        (
            "deep",
            good.replacen('{', &format!(r#"{{"sub":{}"#, "[".repeat(2_000)), 1)
                .into_bytes(),
        ),
        ("more", [good.as_bytes(), b"x"].concat()),
        ("less", good.as_bytes()[..good.len() - 1].to_vec()),
    ] {
        let outcome = super::outcome(keys.verification_keys(), &key.sign(&header, &bytes));
        assert_eq!(outcome, "malformed", "{what}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_issued_is_read_again(
        service in "[a-z]([a-z0-9._-]{0,62}[a-z0-9])?",
        audiences in proptest::collection::vec("\\PC{0,30}", 0..4),
        scopes in proptest::collection::vec("[!#-\\[\\]-~]{1,64}", 0..20),
        ids in any::<(u128, u128)>(),
        lifetime in 1_u64..100_000,
    ) {
        let issued = Claims {
            issuer: EXPECTED.issuer.to_owned(),
            service: service.parse().unwrap(),
            registration: Uuid::from_u128(ids.0),
            audiences: audiences.into_iter().chain([EXPECTED.audiences[0].to_owned()]).collect(),
            issued_at: NOW,
            expires_at: NOW.plus(Duration::from_secs(lifetime)),
            token: Uuid::from_u128(ids.1),
            scopes: scopes.iter().map(|it| it.parse().unwrap()).collect(),
        };
        let keys = TestKey::new(KeyAlgorithm::EdDsa).signing_keys();
        let token = keys.sign(NOW, &issued).unwrap();
        let opened = keys.verification_keys().open(&token, NOW, &EXPECTED).unwrap();
        prop_assert_eq!(opened, issued);
    }
}
