//! Bodies of the fuzz targets. The first byte decides what the others mean; the assertions must hold for all input.
//!
//! The targets in `fuzz/` run them, and so does `tests/integration/fuzzing.rs`. A body panics if an assertion fails.

use std::sync::LazyLock;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer, pkcs8::EncodePrivateKey};
use skriptoteket::{
    clock::Timestamp,
    services::{
        Claims, Expected, ExpectedAssertion, KeyAlgorithm, PublicKeys, ServiceId, SigningKey,
        SigningKeys, VerificationKeys, claimed_client, same_resource,
    },
};

const NOW: Timestamp = Timestamp::from_millis(1_767_268_800_000);
const ISSUER: &str = "https://login.example";
const EXPECTED: Expected<'_> = Expected {
    issuer: ISSUER,
    audiences: &["https://api.example"],
};
const KID: &str = "key-1";

struct World {
    pair: ed25519_dalek::SigningKey,
    signing_keys: SigningKeys,
    client_keys: PublicKeys,
    client: ServiceId,
    token: String,
    assertion: String,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    // Always the same key, so that a finding can be reproduced.
    let pair = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let der = pair.to_pkcs8_der().expect("a key can be written");
    let signing_keys = SigningKeys::read(&[SigningKey {
        id: KID.to_owned(),
        algorithm: KeyAlgorithm::EdDsa,
        private: der.as_bytes().to_vec().into(),
        created_at: NOW,
        active_from: NOW,
        expires_at: None,
    }])
    .expect("a key can be read");
    let token = signed(&pair, TOKEN_HEADER, TOKEN_CLAIMS);
    let assertion = signed(&pair, ASSERTION_HEADER, ASSERTION_CLAIMS);
    World {
        client_keys: PublicKeys::parse(signing_keys.jwks()).expect("our keys are keys"),
        client: "orders".parse().expect("an id"),
        pair,
        signing_keys,
        token,
        assertion,
    }
});

/// The header that is signed unless the input says otherwise.
pub const TOKEN_HEADER: &[u8] = br#"{"typ":"at+jwt","alg":"EdDSA","kid":"key-1"}"#;
/// The claims that are signed unless the input says otherwise.
pub const TOKEN_CLAIMS: &[u8] = br#"{"iss":"https://login.example","sub":"orders","client_id":"orders","aud":"https://api.example","iat":1767268800,"exp":1767269400,"jti":"0198c1f0-0000-7000-8000-000000000001","scope":"read write","reg":"0198c1f0-0000-4000-8000-000000000002"}"#;
/// The header that is signed unless the input says otherwise.
pub const ASSERTION_HEADER: &[u8] = br#"{"typ":"JWT","alg":"EdDSA","kid":"key-1"}"#;
/// The claims that are signed unless the input says otherwise.
pub const ASSERTION_CLAIMS: &[u8] = br#"{"iss":"orders","sub":"orders","aud":["https://login.example"],"iat":1767268800,"exp":1767268860,"jti":"1"}"#;

/// Checks access tokens. First byte, modulo 4:
///
/// * 0: the others are a token as received.
/// * 1: the others are changes to a valid token, see `changed`.
/// * 2: the others are a header and claims, with a zero byte between them, which our key signs. Only correct claims are
///   accepted, and signing them again gives the same.
/// * 3: the others are a JWK Set of an issuer.
pub fn token(data: &[u8]) {
    let Some((mode, data)) = data.split_first() else {
        return;
    };
    let world = &*WORLD;
    match mode % 4 {
        0 => {
            let text = String::from_utf8_lossy(data);
            assert!(opened(&text).is_none() || text == world.token, "{text}");
        }
        1 => {
            let text = changed(&world.token, data);
            assert_eq!(opened(&text).is_some(), text == world.token, "{text}");
        }
        2 => {
            let (header, claims) = halves(data);
            let text = signed(&world.pair, header, claims);
            if let Some(claims) = opened(&text) {
                assert_eq!(claims.issuer, ISSUER);
                assert!(
                    claims
                        .audiences
                        .iter()
                        .any(|it| same_resource(it, "https://api.example"))
                );
                let again = world.signing_keys.sign(NOW, &claims).ok();
                // Claims in a compact encoding can be too large when written in full.
                if let Some(again) = again {
                    assert_eq!(opened(&again), Some(claims));
                }
            }
        }
        _ => {
            let text = String::from_utf8_lossy(data);
            if let Ok(keys) = VerificationKeys::from_jwks(&text) {
                let opens = keys.open(&world.token, NOW, &EXPECTED).is_ok();
                assert!(!opens || text.contains("crv"));
            }
        }
    }
}

/// Checks signed assertions. First byte, modulo 4, as in [`token`].
pub fn assertion(data: &[u8]) {
    let Some((mode, data)) = data.split_first() else {
        return;
    };
    let world = &*WORLD;
    match mode % 4 {
        0 => {
            let text = String::from_utf8_lossy(data);
            let _ = claimed_client(&text);
            assert!(!accepted(&text) || text == world.assertion, "{text}");
        }
        1 => {
            let text = changed(&world.assertion, data);
            let _ = claimed_client(&text);
            assert_eq!(accepted(&text), text == world.assertion, "{text}");
        }
        2 => {
            let (header, claims) = halves(data);
            let text = signed(&world.pair, header, claims);
            if accepted(&text) {
                assert_eq!(claimed_client(&text).as_ref(), Some(&world.client));
            }
        }
        _ => {
            let text = String::from_utf8_lossy(data);
            if let Err(error) = PublicKeys::parse(&text) {
                // The error is one of a fixed list and contains nothing of the input.
                assert!(error.to_string().len() < 300);
            }
        }
    }
}

fn opened(token: &str) -> Option<Claims> {
    WORLD
        .signing_keys
        .verification_keys()
        .open(token, NOW, &EXPECTED)
        .ok()
}

fn accepted(assertion: &str) -> bool {
    let expected = ExpectedAssertion {
        client: &WORLD.client,
        audiences: &[ISSUER],
    };
    WORLD.client_keys.open(assertion, NOW, &expected).is_ok()
}

fn halves(data: &[u8]) -> (&[u8], &[u8]) {
    let at = data.iter().position(|byte| *byte == 0);
    at.map_or((data, &[]), |at| (&data[..at], &data[at + 1..]))
}

fn signed(pair: &ed25519_dalek::SigningKey, header: &[u8], claims: &[u8]) -> String {
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature = pair.sign(message.as_bytes()).to_bytes();
    format!("{message}.{}", encode(&signature))
}

/// Returns `text` after changes of three bytes each: the position (two bytes, modulo its length) and the new byte. The
/// lowest bit of the position decides whether the new byte replaces the old one or is inserted before it.
fn changed(text: &str, changes: &[u8]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for change in changes.chunks_exact(3) {
        let place = usize::from(u16::from_le_bytes([change[0], change[1]]));
        let at = (place / 2) % bytes.len();
        if place % 2 == 0 {
            bytes[at] = change[2];
        } else {
            bytes.insert(at, change[2]);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
