//! Attacks on tokens.

use base64::{Engine, prelude::BASE64_STANDARD};
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePublicKey as _};
use jsonwebtoken::{Algorithm, EncodingKey};
use secrecy::ExposeSecret;
use serde_json::json;

use super::{BOTH, EXPECTED, NOW, TestKey, claims, claims_json, encoded, message, outcome};
use crate::{KeyAlgorithm, MAX_TOKEN, SigningKeys, VerificationKeys};

#[test]
fn a_token_that_is_signed_by_nothing_is_refused_in_every_spelling() {
    for key in BOTH.map(TestKey::new) {
        let keys = key.signing_keys();
        let json = claims().to_json().unwrap();
        for none in ["none", "None", "NONE", "nOnE", "none ", "", "null"] {
            let mut header = key.header();
            header["alg"] = none.into();
            let signed = key.sign(&header.to_string(), &json);
            let (unsigned, _) = signed.rsplit_once('.').unwrap();
            for token in [format!("{unsigned}."), signed.clone()] {
                assert_eq!(
                    outcome(keys.verification_keys(), &token),
                    "bad_signature",
                    "{none:?}"
                );
            }
            assert_eq!(outcome(keys.verification_keys(), unsigned), "malformed");
        }
        for no_text in [json!(null), json!(0), json!(["EdDSA"]), json!({})] {
            let mut header = key.header();
            header["alg"] = no_text;
            let token = key.sign(&header.to_string(), &json);
            assert_eq!(outcome(keys.verification_keys(), &token), "malformed");
        }
    }
}

#[test]
fn a_public_key_is_no_secret_to_sign_with() {
    for key in BOTH.map(TestKey::new) {
        let keys = key.signing_keys();
        let set: serde_json::Value = serde_json::from_str(keys.jwks()).unwrap();
        let jwk = &set["keys"][0];
        let der = key.0.private.expose_secret();
        let (raw, spki) = match key.0.algorithm {
            KeyAlgorithm::EdDsa => {
                let public = ed25519_dalek::SigningKey::from_pkcs8_der(der)
                    .unwrap()
                    .verifying_key();
                (public.to_bytes().to_vec(), public.to_public_key_der())
            }
            KeyAlgorithm::Es256 => {
                let public = *p256::ecdsa::SigningKey::from_pkcs8_der(der)
                    .unwrap()
                    .verifying_key();
                let point = public.to_encoded_point(false);
                (point.as_bytes().to_vec(), public.to_public_key_der())
            }
        };
        let spki = spki.unwrap().as_bytes().to_vec();
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----",
            BASE64_STANDARD.encode(&spki)
        );
        let secrets: [&[u8]; 9] = [
            b"",
            &raw,
            &spki,
            pem.as_bytes(),
            format!("{pem}\n").leak().as_bytes(),
            encoded(&raw).leak().as_bytes(),
            jwk["x"].as_str().unwrap().as_bytes(),
            jwk.to_string().leak().as_bytes(),
            keys.jwks().as_bytes(),
        ];
        for secret in secrets {
            for (name, algorithm) in [
                ("HS256", Algorithm::HS256),
                ("HS384", Algorithm::HS384),
                ("HS512", Algorithm::HS512),
            ] {
                // With the real algorithm in the header, and with a false one.
                for alg in [name, key.0.algorithm.as_str()] {
                    let mut header = key.header();
                    header["alg"] = alg.into();
                    let message = message(&header.to_string(), &claims().to_json().unwrap());
                    let secret = EncodingKey::from_secret(secret);
                    let mac =
                        jsonwebtoken::crypto::sign(message.as_bytes(), &secret, algorithm).unwrap();
                    let token = format!("{message}.{mac}");
                    assert_eq!(outcome(keys.verification_keys(), &token), "bad_signature");
                }
            }
        }
    }
}

#[test]
fn a_token_names_the_key_that_signed_it_and_how() {
    let [first, second] = [KeyAlgorithm::EdDsa; 2].map(TestKey::new);
    let [third, stranger] = [KeyAlgorithm::Es256, KeyAlgorithm::EdDsa].map(TestKey::new);
    let keys = SigningKeys::read(&[first.0.clone(), second.0.clone(), third.0.clone()]).unwrap();
    let json = claims().to_json().unwrap();
    let refused = |signer: &TestKey, header: &serde_json::Value| {
        let token = signer.sign(&header.to_string(), &json);
        let refused = keys
            .verification_keys()
            .open(&token, NOW, &EXPECTED)
            .unwrap_err();
        assert_eq!(refused.why.reason().as_str(), "bad_signature");
        assert_eq!(refused.claims_service, None);
        refused.unknown_key
    };
    for key in [&first, &second, &third] {
        let token = key.sign(&key.header().to_string(), &json);
        assert_eq!(outcome(keys.verification_keys(), &token), "accepted");
        assert!(keys.knows(&key.0.id));
    }
    // Another key of the set, a key of another type, and a key that is not in the set.
    assert!(!refused(&first, &second.header()));
    assert!(!refused(&first, &third.header()));
    assert!(!refused(&third, &first.header()));
    assert!(!refused(&stranger, &first.header()));
    assert!(refused(&stranger, &stranger.header()));
    assert!(!keys.knows(&stranger.0.id));
    // A known `kid` with the algorithm of another key.
    let mut crossed = first.header();
    crossed["alg"] = "ES256".into();
    assert!(!refused(&first, &crossed));
    assert!(!refused(&third, &crossed));
    for wrong in ["HS256", "RS256", "ES384", "Ed25519", "eddsa", "EdDSA "] {
        let mut header = first.header();
        header["alg"] = wrong.into();
        assert!(!refused(&first, &header), "{wrong}");
    }
    // Empty or invalid key ids.
    for kid in ["", " ", "../../key", "' OR 1=1 --"] {
        let mut header = first.header();
        header["kid"] = kid.into();
        assert!(refused(&first, &header), "{kid}");
    }
    let mut header = first.header();
    header["kid"] = json!(null);
    assert!(!refused(&first, &header));
    header.as_object_mut().unwrap().remove("kid");
    assert!(!refused(&first, &header));
}

#[test]
fn a_key_that_a_token_brings_along_is_not_used() {
    let [ours, theirs] = [KeyAlgorithm::EdDsa; 2].map(TestKey::new);
    let theirs_jwk: serde_json::Value = serde_json::from_str(theirs.signing_keys().jwks()).unwrap();
    for kid in [&ours.0.id, &theirs.0.id] {
        let mut header = theirs.header();
        header["kid"] = kid.as_str().into();
        header["jwk"] = theirs_jwk["keys"][0].clone();
        header["jku"] = "https://attacker.example/jwks.json".into();
        header["x5u"] = "https://attacker.example/chain.pem".into();
        header["x5c"] = json!(["MIIB"]);
        let token = theirs.sign(&header.to_string(), &claims().to_json().unwrap());
        assert_eq!(
            outcome(ours.signing_keys().verification_keys(), &token),
            "bad_signature"
        );
    }
    // Nor does it do any harm in a token of ours.
    let mut header = ours.header();
    header["jku"] = "https://attacker.example/jwks.json".into();
    header["b64"] = false.into();
    let token = ours.sign(&header.to_string(), &claims().to_json().unwrap());
    assert_eq!(
        outcome(ours.signing_keys().verification_keys(), &token),
        "accepted"
    );
}

#[test]
fn a_header_that_is_not_an_access_tokens_is_malformed() {
    let key = TestKey::new(KeyAlgorithm::EdDsa);
    let (keys, json) = (key.signing_keys(), claims().to_json().unwrap());
    let with = |name: &str, value: serde_json::Value| {
        let mut header = key.header();
        header[name] = value;
        outcome(
            keys.verification_keys(),
            &key.sign(&header.to_string(), &json),
        )
    };
    for crit in [
        json!([]),
        json!(["exp"]),
        json!(["b64"]),
        json!(null),
        json!("b64"),
    ] {
        assert_eq!(with("crit", crit), "malformed");
    }
    for good in [
        "at+jwt",
        "AT+JWT",
        "application/at+jwt",
        "Application/At+Jwt",
    ] {
        assert_eq!(with("typ", good.into()), "accepted");
    }
    for bad in [
        "JWT",
        "jwt",
        "",
        "at+jwt ",
        "text/at+jwt",
        "application/",
        "at",
        "\u{e9}pplication/at+jwt",
    ] {
        assert_eq!(with("typ", bad.into()), "malformed", "{bad}");
    }
    for bad in [json!(null), json!(1), json!(["at+jwt"])] {
        assert_eq!(with("typ", bad), "malformed");
    }
    let kid = &key.0.id;
    for bad in [
        String::new(),
        "{}".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        format!(r#"["EdDSA","{kid}","at+jwt"]"#),
        format!(r#"{{"alg":"EdDSA","kid":"{kid}"}}"#),
        format!(r#"{{"typ":"at+jwt","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"none","alg":"EdDSA","kid":"{kid}","typ":"at+jwt"}}"#),
        format!(r#"{{"alg":"EdDSA","\u0061lg":"EdDSA","kid":"{kid}","typ":"at+jwt"}}"#),
        format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"at+jwt","x":1,"x":1}}"#),
        format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"at+jwt"}} {{}}"#),
        format!(r#"{{"alg":"EdDSA","kid":["{kid}"],"typ":"at+jwt"}}"#),
        format!("{}{}", "[".repeat(5000), "]".repeat(5000))[..5000].to_owned(),
        format!("{}1{}", "{\"a\":".repeat(900), "}".repeat(900)),
    ] {
        assert_eq!(
            outcome(keys.verification_keys(), &key.sign(&bad, &json)),
            "malformed",
            "{bad}"
        );
    }
}

#[test]
fn what_is_no_token_is_malformed_at_no_cost() {
    let key = TestKey::new(KeyAlgorithm::EdDsa);
    let keys = key.signing_keys();
    let good = keys.sign(NOW, &claims()).unwrap();
    assert_eq!(outcome(keys.verification_keys(), &good), "accepted");
    let [header, body, signature] = good.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    let mut bad: Vec<String> = [
        "", ".", "..", "...", "a.b.c", "null", "Bearer", "\0", "é.é.é",
    ]
    .map(str::to_owned)
    .into();
    for part in 0..3 {
        for spoilt in [
            |it: &str| format!("{it}="),
            |it: &str| format!("{it}=="),
            |it: &str| format!(" {it}"),
            |it: &str| format!("{it}\n"),
            |it: &str| format!("{it}\t"),
            |it: &str| format!("{it}+"),
            |it: &str| format!("{it}/"),
            |it: &str| format!("{it}\u{200b}"),
            |it: &str| format!("{it}\0"),
        ] {
            let mut parts = [header, body, signature].map(str::to_owned);
            parts[part] = spoilt(&parts[part]);
            bad.push(parts.join("."));
        }
    }
    bad.push(format!("{good}."));
    bad.push(format!(".{good}"));
    bad.push(format!("{good}.{signature}.{signature}"));
    bad.push(format!("{header}.{body}"));
    bad.push(format!("{body}.{body}.{signature}"));
    bad.push(format!("\"{good}\""));
    bad.push("a".repeat(1 << 20));
    bad.push(".".repeat(1 << 20));
    bad.push(format!("{good}{}", "A".repeat(1 << 20)));
    bad.push(format!("{header}.{}.{signature}", "A".repeat(1 << 20)));
    for token in bad {
        let start = &token[..token.len().min(200)];
        assert_eq!(
            outcome(keys.verification_keys(), &token),
            "malformed",
            "{start:?}"
        );
    }
}

#[test]
fn the_largest_token_has_eight_kibibytes() {
    let key = TestKey::new(KeyAlgorithm::EdDsa);
    let keys = key.signing_keys();
    let header = key.header().to_string();
    let mut found = Vec::new();
    for padding in 5_700..6_000 {
        let mut claims = claims_json();
        claims["more"] = "x".repeat(padding).into();
        let token = key.sign(&header, claims.to_string().as_bytes());
        if (MAX_TOKEN - 1..=MAX_TOKEN + 2).contains(&token.len()) {
            found.push((token.len(), outcome(keys.verification_keys(), &token)));
        }
    }
    assert!(found.iter().any(|(length, _)| *length <= MAX_TOKEN));
    assert!(found.iter().any(|(length, _)| *length > MAX_TOKEN));
    for (length, outcome) in found {
        let expected = if length > MAX_TOKEN {
            "malformed"
        } else {
            "accepted"
        };
        assert_eq!(outcome, expected, "{length}");
    }
}

#[test]
fn the_parts_of_two_tokens_make_no_third() {
    for key in BOTH.map(TestKey::new) {
        let keys = key.signing_keys();
        let mut other = claims();
        other.service = "billing".parse().unwrap();
        let [one, two] = [claims(), other].map(|it| keys.sign(NOW, &it).unwrap());
        let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
        let (one, two) = (parts(&one), parts(&two));
        let mixed = format!("{}.{}.{}", one[0], two[1], one[2]);
        assert_eq!(outcome(keys.verification_keys(), &mixed), "bad_signature");
    }
}

#[test]
fn a_ring_without_keys_opens_nothing() {
    let key = TestKey::new(KeyAlgorithm::EdDsa);
    let token = key.signing_keys().sign(NOW, &claims()).unwrap();
    let empty = VerificationKeys::default();
    let refused = empty.open(&token, NOW, &EXPECTED).unwrap_err();
    assert_eq!(refused.why.reason().as_str(), "bad_signature");
    assert!(refused.unknown_key);
}
