use jsonwebtoken::{Algorithm, EncodingKey};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    KeyAlgorithm,
    token::{
        encoded,
        tests::{NOW, TestKey, claims as access_claims, rsa_modulus},
    },
};

/// The private key of RFC 7515, appendix A.2, in PKCS #1 (DER).
const RSA_KEY: &str = concat!(
    "MIIEowIBAAKCAQEAofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEz",
    "P1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5re",
    "xMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWN",
    "moudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQIDAQABAoIBABKucaRpzQorw35SbEUAVx8dYXUdZOlJ",
    "cHtiWQ-dC6V8ljxAHj_PLyzTveyI5QO_xkObCyjIL303l2cfUhPu2MFaJdjVzqACXuOrLot_eSFvxjvqVidTtAZExqFRJ9mylUVA",
    "oLvhowVWmC1On95fZCXxTUtxNEG1Xcc7m0rtzJKs45J-N_V9DP1edYH6USyPSWGp6wuA-KgHRnKKVf9GRx80JQY7nVNkL17eHoTW",
    "Ewga-lwi0FEoW9Y7lDtWXYmKBWhUE-U8PGxlJf8f40493HDw1WRQ_aSLoS4QTp3rn7gYgeHEvfJdkkf0UMhlknlo53M09EFPdadQ",
    "4TlUbjqKc50CgYEA4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB",
    "0Hw_Py5PJdTJNPY8cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUcCgYEAuQPEfgmV",
    "tjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7TjeLQeZD_YwD66t62wDmpe_",
    "HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdcCgYAHAp9XcCSrn8wVkMVkKdb7DOX4IKjzdahm",
    "-ctDAJN4O_y7OW5FKebvUjdAIt2GuoTZ71iTG-7F0F-lP88jtjP4U4qe7VHoewl4MKOfXZKTe-YCS1XbNvfgwJ3Ltyl1OH9hWvu2",
    "yza7q-d5PCsDzqtm27kxuvULVeya-TEdAB1ijQKBgQCH_3r6YrVH_uCWGy6bzV1nGNOdjKc9tmkfOJmN54dxdixdpozCQ6U4OxZr",
    "sj3FcOhHBsqAHvX2uuYjagqvo3cOj1TRqNocX40omfCCMx3bD1yPPf_6TI2XECva_ggqEY2mYzmIiA5LVVmc5nrybr-lssFKneey",
    "xN2Wq93S0iJMdQKBgCGHewxzoa1r8ZMD0LETNrToK423K377UCYqXfg5XMclbrjPbEC3YI1ZNqMtuhdBJqUnBi6tjKMF-34Xf0CU",
    "N8ncuXGO2CAYvO8PdyCixHX52ybaDjy1FtCE6yUXjoKNXKvUm7MWGsAYH6f4IegOetN5NvmUMFStCSkh7ixZLkN1",
);
const NOW_SECONDS: i64 = 1_767_268_800;
const AUDIENCES: &[&str] = &[
    "https://login.example",
    "https://login.example/oauth2/token",
];

fn client() -> ServiceId {
    "orders".parse().unwrap()
}

/// The public JWK of `key`.
fn jwk(key: &TestKey) -> Value {
    let set: Value = serde_json::from_str(key.signing_keys().jwks()).unwrap();
    set["keys"][0].clone()
}

fn rsa_jwk() -> Value {
    json!({ "kty": "RSA", "n": rsa_modulus(), "e": "AQAB" })
}

fn parse(keys: &[Value]) -> Result<PublicKeys, InvalidPublicKeys> {
    PublicKeys::parse(&json!({ "keys": keys }).to_string())
}

fn header(key: &TestKey) -> Value {
    json!({ "alg": key.0.algorithm.as_str(), "typ": "JWT", "kid": key.0.id })
}

fn claims() -> Value {
    json!({
        "iss": "orders",
        "sub": "orders",
        "aud": "https://login.example/oauth2/token",
        "iat": NOW_SECONDS,
        "exp": NOW_SECONDS + 60,
        "jti": "1",
    })
}

fn sign(key: &TestKey, header: &Value, claims: &Value) -> String {
    key.sign(&header.to_string(), claims.to_string().as_bytes())
}

fn opened(keys: &PublicKeys, assertion: &str) -> Result<Assertion, &'static str> {
    let client = client();
    let expected = ExpectedAssertion {
        client: &client,
        audiences: AUDIENCES,
    };
    let opened = keys.open(assertion, NOW, &expected);
    opened.map_err(|failure| failure.reason().as_str())
}

/// Returns the result for changed claims in an assertion that the client signed.
fn judged(change: impl Fn(&mut Value)) -> Result<Assertion, &'static str> {
    let key = TestKey::new(KeyAlgorithm::EdDsa);
    let mut claims = claims();
    change(&mut claims);
    let keys = parse(&[jwk(&key)]).unwrap();
    opened(&keys, &sign(&key, &header(&key), &claims))
}

#[test]
fn a_client_shows_with_any_of_its_keys_who_it_is() {
    let [ed, p256] = [KeyAlgorithm::EdDsa, KeyAlgorithm::Es256].map(TestKey::new);
    let keys = parse(&[jwk(&ed), rsa_jwk(), jwk(&p256)]).unwrap();
    for key in [&ed, &p256] {
        let assertion = sign(key, &header(key), &claims());
        let accepted = opened(&keys, &assertion).unwrap();
        assert_eq!(accepted.expires_at, NOW.plus(Duration::from_mins(2)));
        assert_eq!(claimed_client(&assertion), Some(client()));
    }
    let der = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, RSA_KEY).unwrap();
    let rsa = EncodingKey::from_rsa_der(&der);
    let mut header = jsonwebtoken::Header::new(Algorithm::RS256);
    for kid in [None, Some("whatever".to_owned())] {
        // A key that was registered without an id is tried for every id.
        header.kid = kid;
        let assertion = jsonwebtoken::encode(&header, &claims(), &rsa).unwrap();
        assert!(opened(&keys, &assertion).is_ok());
    }
    header.alg = Algorithm::PS256;
    let assertion = jsonwebtoken::encode(&header, &claims(), &rsa).unwrap();
    assert_eq!(opened(&keys, &assertion), Err("bad_signature"));
}

#[test]
fn the_id_of_a_key_selects_it_where_it_is_given() {
    let [one, two, stranger] = [KeyAlgorithm::EdDsa; 3].map(TestKey::new);
    let keys = parse(&[jwk(&one), jwk(&two)]).unwrap();
    let mut nameless = header(&two);
    nameless.as_object_mut().unwrap().remove("kid");
    assert!(opened(&keys, &sign(&two, &nameless, &claims())).is_ok());
    nameless["alg"] = "Ed25519".into();
    assert!(opened(&keys, &sign(&two, &nameless, &claims())).is_ok());
    assert_eq!(
        opened(&keys, &sign(&stranger, &nameless, &claims())),
        Err("bad_signature")
    );
    for wrong in [header(&one), header(&stranger)] {
        assert_eq!(
            opened(&keys, &sign(&two, &wrong, &claims())),
            Err("bad_signature")
        );
    }
    for alg in ["none", "HS256", "ES256", "RS256", "", "eddsa"] {
        nameless["alg"] = alg.into();
        assert_eq!(
            opened(&keys, &sign(&two, &nameless, &claims())),
            Err("bad_signature"),
            "{alg}"
        );
    }
}

#[test]
fn an_assertion_is_signed_with_a_private_key_not_with_a_public_one() {
    let key = TestKey::new(KeyAlgorithm::EdDsa);
    let keys = parse(&[jwk(&key)]).unwrap();
    let message = format!(
        "{}.{}",
        encoded(br#"{"alg":"HS256","typ":"JWT"}"#),
        encoded(claims().to_string().as_bytes())
    );
    let secret = EncodingKey::from_secret(jwk(&key)["x"].as_str().unwrap().as_bytes());
    let mac = jsonwebtoken::crypto::sign(message.as_bytes(), &secret, Algorithm::HS256).unwrap();
    assert_eq!(
        opened(&keys, &format!("{message}.{mac}")),
        Err("bad_signature")
    );
    assert_eq!(opened(&keys, &format!("{message}.")), Err("bad_signature"));
}

#[test]
fn an_access_token_is_no_assertion() {
    let key = TestKey::new(KeyAlgorithm::EdDsa);
    let keys = parse(&[jwk(&key)]).unwrap();
    let token = key.signing_keys().sign(NOW, &access_claims()).unwrap();
    assert_eq!(opened(&keys, &token), Err("malformed"));
    assert_eq!(claimed_client(&token), None);
    let mut header = header(&key);
    for good in ["jwt", "application/jwt", "client-authentication+jwt"] {
        header["typ"] = good.into();
        assert!(
            opened(&keys, &sign(&key, &header, &claims())).is_ok(),
            "{good}"
        );
    }
    for (name, value) in [("typ", "at+jwt"), ("typ", "dpop+jwt"), ("crit", "x")] {
        let mut bad = header.clone();
        bad[name] = value.into();
        assert_eq!(
            opened(&keys, &sign(&key, &bad, &claims())),
            Err("malformed"),
            "{value}"
        );
    }
    header.as_object_mut().unwrap().remove("typ");
    assert!(opened(&keys, &sign(&key, &header, &claims())).is_ok());
}

#[test]
fn an_assertion_is_of_the_client_and_for_us() {
    for (name, value, outcome) in [
        ("iss", json!("billing"), "wrong_audience"),
        ("sub", json!("billing"), "wrong_audience"),
        ("sub", json!("orders "), "wrong_audience"),
        (
            "aud",
            json!("https://login.example/other"),
            "wrong_audience",
        ),
        ("aud", json!("http://login.example"), "wrong_audience"),
        ("aud", json!([]), "wrong_audience"),
        ("aud", json!(7), "malformed"),
        ("jti", json!(""), "malformed"),
        ("jti", json!("j".repeat(257)), "malformed"),
        ("jti", json!(7), "malformed"),
        ("iss", json!(null), "malformed"),
    ] {
        let judged = judged(|it| it[name] = value.clone());
        assert_eq!(judged, Err(outcome), "{name} {value}");
    }
    for audience in ["https://login.example/", "https://LOGIN.example:443"] {
        assert!(
            judged(|it| it["aud"] = json!(audience)).is_ok(),
            "{audience}"
        );
    }
    for name in ["iss", "sub", "aud", "exp", "jti"] {
        let missing = judged(|it| {
            it.as_object_mut().unwrap().remove(name);
        });
        assert_eq!(missing, Err("malformed"), "{name}");
    }
    assert!(judged(|it| it["aud"] = json!(["x", "https://login.example"])).is_ok());
    assert!(judged(|it| it["jti"] = "j".repeat(256).into()).is_ok());
}

#[test]
fn an_assertion_lasts_an_hour_at_most() {
    for (name, seconds, outcome) in [
        ("exp", -60, Err("expired_token")),
        ("exp", -59, Ok(())),
        ("exp", 3_660, Ok(())),
        ("exp", 3_661, Err("malformed")),
        ("exp", 1_000_000_000_000, Err("malformed")),
        ("iat", 60, Ok(())),
        ("iat", 61, Err("expired_token")),
        ("nbf", 60, Ok(())),
        ("nbf", 61, Err("expired_token")),
        ("iat", -1_000_000, Ok(())),
    ] {
        let judged = judged(|it| it[name] = (NOW_SECONDS + seconds).into());
        assert_eq!(judged.map(|_| ()), outcome, "{name} {seconds}");
    }
    for (value, good) in [
        (json!(1_767_268_860.75), true),
        (json!(-1), false),
        (json!(1e18), false),
        (json!(-1e300), false),
        (json!(u64::MAX), false),
        (json!("1767268860"), false),
        (json!(null), false),
    ] {
        let judged = judged(|it| it["exp"] = value.clone());
        assert_eq!(judged.is_ok(), good, "{value}");
    }
    // `iat` is not required.
    assert!(judged(|it| it["iat"] = json!(null)).is_ok());
}

#[test]
fn an_assertion_is_known_again_by_its_client_and_its_id() {
    let digest = |jti: &str| judged(|it| it["jti"] = jti.into()).unwrap().digest;
    assert_eq!(digest("1"), digest("1"));
    assert_ne!(digest("1"), digest("2"));
    assert_eq!(
        digest("1"),
        <[u8; 32]>::from(Sha256::digest(
            b"orders\0".iter().chain(b"1").copied().collect::<Vec<u8>>()
        ))
    );
}

#[test]
fn public_keys_that_are_not_accepted_say_what_would_be_right() {
    let good = jwk(&TestKey::new(KeyAlgorithm::EdDsa));
    let secret = "c2VjcmV0c2VjcmV0c2VjcmV0";
    let mut private = good.clone();
    private["d"] = secret.into();
    let symmetric = json!({ "kty": "oct", "k": secret });
    for bad in [&private, &symmetric] {
        let error = parse(&[good.clone(), bad.clone()]).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(
            text.contains("public key 2: it has members of a private key"),
            "{text}"
        );
        assert!(!text.contains(secret));
    }
    let unknown = parse(&[json!({ "kty": "EC", "crv": "P-521", "x": secret, "y": secret })]);
    let text = unknown.unwrap_err().to_string();
    assert!(text.contains("Ed25519") && !text.contains(secret), "{text}");
    assert_eq!(parse(&[]).unwrap_err(), InvalidPublicKeys::Count);
    assert!(parse(&vec![good.clone(); 8]).is_ok());
    assert_eq!(
        parse(&vec![good.clone(); 9]).unwrap_err(),
        InvalidPublicKeys::Count
    );
    for no_set in ["", "[]", r#"{"keys":7}"#, secret, &good.to_string()] {
        let error = PublicKeys::parse(no_set).unwrap_err();
        assert_eq!(error, InvalidPublicKeys::Malformed);
        assert!(!error.to_string().contains(secret));
    }
    let large = " ".repeat(Service::MAX_PUBLIC_KEYS + 1);
    assert_eq!(
        PublicKeys::parse(&large).unwrap_err(),
        InvalidPublicKeys::TooLarge
    );
}

#[test]
fn a_claimed_client_is_one_that_could_be() {
    let key = TestKey::new(KeyAlgorithm::EdDsa);
    let claimed = |sub: Value| claimed_client(&sign(&key, &header(&key), &json!({ "sub": sub })));
    assert_eq!(claimed(json!("orders")), Some(client()));
    for bad in [json!("_other"), json!(""), json!(null), json!(["orders"])] {
        assert_eq!(claimed(bad), None);
    }
    assert_eq!(claimed_client(""), None);
    assert_eq!(claimed_client(&"a".repeat(1 << 20)), None);
}

proptest! {
    #[test]
    fn no_bytes_stop_the_reader(text in "\\PC*", bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let key = TestKey::new(KeyAlgorithm::EdDsa);
        let keys = parse(&[jwk(&key)]).unwrap();
        let parts = key.sign(&text, &bytes);
        let signed = key.sign(&header(&key).to_string(), &bytes);
        for assertion in [text.as_str(), &String::from_utf8_lossy(&bytes), &parts, &signed] {
            prop_assert!(opened(&keys, assertion).is_err());
            prop_assert_eq!(claimed_client(assertion), None);
        }
        prop_assert!(PublicKeys::parse(&text).is_err());
    }

    #[test]
    fn a_changed_assertion_is_refused(at in any::<proptest::sample::Index>(), byte in 0_u8..128) {
        let key = TestKey::new(KeyAlgorithm::EdDsa);
        let keys = parse(&[jwk(&key)]).unwrap();
        let good = sign(&key, &header(&key), &claims());
        let mut bytes = good.clone().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let text = String::from_utf8(bytes).unwrap();
        prop_assert_eq!(opened(&keys, &text).is_ok(), text == good);
    }
}
