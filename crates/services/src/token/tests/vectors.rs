//! Test vectors from the standards.

use serde_json::{Value, json};

use super::{NOW, TestKey};
use crate::{
    KeyAlgorithm, PublicKeys, SigningKey, SigningKeys,
    token::{InvalidJwk, Parts, PublicJwk, PublicKey},
};

/// RFC 8037, appendix A.1.
const ED25519_D: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
const ED25519_X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
/// RFC 8037, appendix A.3.
const ED25519_THUMBPRINT: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
/// RFC 8037, appendix A.4.
const ED25519_JWS: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
/// RFC 7515, appendix A.3.
const P256_X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
const P256_Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
const P256_JWS: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
/// RFC 7515, appendix A.2.
const RSA_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
const RSA_JWS: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";

fn ed25519() -> Value {
    json!({ "kty": "OKP", "crv": "Ed25519", "x": ED25519_X })
}

fn p256() -> Value {
    json!({ "kty": "EC", "crv": "P-256", "x": P256_X, "y": P256_Y })
}

/// Returns the modulus of the RSA key in RFC 7515.
pub(crate) const fn rsa_modulus() -> &'static str {
    RSA_N
}

fn rsa() -> Value {
    json!({ "kty": "RSA", "n": RSA_N, "e": "AQAB" })
}

#[test]
fn the_signatures_that_the_standards_print_are_right_by_their_own_keys_only() {
    let keys = [ed25519(), p256(), rsa()].map(|jwk| PublicKey::read(&jwk).unwrap());
    let printed = [ED25519_JWS, P256_JWS, RSA_JWS];
    for (i, token) in printed.into_iter().enumerate() {
        let parts = Parts::of(token).unwrap();
        for (j, key) in keys.iter().enumerate() {
            assert_eq!(key.signs_by(parts.algorithm()), i == j);
            assert_eq!(key.has_signed(&parts), i == j);
        }
        let (message, signature) = token.rsplit_once('.').unwrap();
        let other = format!("{message}.{}{}", "A", &signature[1..]);
        assert!(!keys[i].has_signed(&Parts::of(&other).unwrap()));
    }
}

#[test]
fn a_ring_signs_and_publishes_the_example_key_as_the_standard_does() {
    // The PKCS #8 prefix of every Ed25519 key (RFC 8410, section 7), then the 32 bytes of the key.
    let head = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];
    let d = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, ED25519_D).unwrap();
    let key = TestKey(SigningKey {
        id: ED25519_THUMBPRINT.to_owned(),
        algorithm: KeyAlgorithm::EdDsa,
        private: [head.as_slice(), &d].concat().into(),
        created_at: NOW,
        active_from: NOW,
        expires_at: None,
    });
    assert_eq!(
        key.sign(r#"{"alg":"EdDSA"}"#, b"Example of Ed25519 signing"),
        ED25519_JWS
    );
    let keys = SigningKeys::read(&[key.0]).unwrap();
    let published: Value = serde_json::from_str(keys.jwks()).unwrap();
    let mut expected = ed25519();
    expected["use"] = "sig".into();
    expected["alg"] = "EdDSA".into();
    expected["kid"] = ED25519_THUMBPRINT.into();
    assert_eq!(published, json!({ "keys": [expected] }));
}

#[test]
fn a_thumbprint_is_that_of_the_standard() {
    let key = PublicJwk::Ed25519 {
        crv: "Ed25519",
        x: ED25519_X.to_owned(),
    };
    assert_eq!(key.thumbprint(), ED25519_THUMBPRINT);
}

#[test]
fn a_key_that_is_not_sound_is_refused() {
    let zeros = "A".repeat(43);
    let changed = |mut jwk: Value, name: &str, value: Value| {
        jwk[name] = value;
        PublicKey::read(&jwk).unwrap_err()
    };
    for (jwk, name, value) in [
        (ed25519(), "x", json!("")),
        (ed25519(), "x", json!(1)),
        (ed25519(), "x", json!(&ED25519_X[..42])),
        (ed25519(), "x", json!(format!("{ED25519_X}="))),
        // Points of small order: all zeros, and the neutral one.
        (ed25519(), "x", json!(zeros)),
        (ed25519(), "x", json!(format!("AQ{}", &zeros[2..]))),
        (p256(), "x", json!(zeros)),
        (p256(), "y", json!(P256_X)),
        (p256(), "y", json!(null)),
        (p256(), "y", json!("")),
        (rsa(), "e", json!("AQ")),
        (rsa(), "e", json!("Ag")),
        (rsa(), "e", json!("AAEAAQ")),
        (rsa(), "e", json!("AQAAAAE")),
        (rsa(), "e", json!("")),
        (rsa(), "n", json!(&RSA_N[..300])),
        (rsa(), "n", json!("")),
        (rsa(), "n", json!(RSA_N.repeat(3)[..700])),
        (rsa(), "n", json!(format!("AA{RSA_N}"))),
    ] {
        let why = changed(jwk, name, value.clone());
        assert_eq!(why, InvalidJwk::Unsound, "{name} {value}");
    }
    for (jwk, name, value) in [
        (ed25519(), "crv", json!("Ed448")),
        (ed25519(), "crv", json!("X25519")),
        (ed25519(), "kty", json!("EC")),
        (ed25519(), "kty", json!("oct")),
        (ed25519(), "kty", json!(null)),
        (ed25519(), "use", json!("enc")),
        (ed25519(), "alg", json!("ES256")),
        (ed25519(), "alg", json!(1)),
        (ed25519(), "key_ops", json!(["sign"])),
        (ed25519(), "key_ops", json!("verify")),
        (p256(), "crv", json!("P-384")),
        (p256(), "alg", json!("ES256K")),
        (rsa(), "alg", json!("PS256")),
        (rsa(), "alg", json!("none")),
    ] {
        let why = changed(jwk, name, value.clone());
        assert_eq!(why, InvalidJwk::Kind, "{name} {value}");
    }
    assert_eq!(changed(rsa(), "kid", json!(1)), InvalidJwk::Id);
    assert_eq!(
        changed(rsa(), "kid", json!("k".repeat(257))),
        InvalidJwk::Id
    );
    for member in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        assert_eq!(changed(rsa(), member, json!(null)), InvalidJwk::Private);
    }
    assert_eq!(
        PublicKey::read(&json!("key")).unwrap_err(),
        InvalidJwk::NoObject
    );
    let set = json!({ "keys": [ed25519(), p256(), rsa()] });
    assert!(PublicKeys::parse(&set.to_string()).is_ok());
}
