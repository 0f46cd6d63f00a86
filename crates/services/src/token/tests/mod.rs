//! Our own tokens, and everything that only resembles them.

mod attacks;
mod changes;
mod claims;
mod vectors;

pub(crate) use vectors::rsa_modulus;

use std::time::Duration;

use ed25519_dalek::{Signer as _, pkcs8::DecodePrivateKey as _};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Claims, Expected, VerificationKeys, encoded};
use crate::{KeyAlgorithm, NewKey, SigningKey, SigningKeys};
use skriptoteket_core::clock::Timestamp;

/// Noon of 1 January 2026.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_767_268_800_000);
const NOW_SECONDS: i64 = 1_767_268_800;
const MINUTE: Duration = Duration::from_mins(1);
const BOTH: [KeyAlgorithm; 2] = [KeyAlgorithm::EdDsa, KeyAlgorithm::Es256];
const EXPECTED: Expected<'_> = Expected {
    issuer: "https://login.example",
    audiences: &["https://api.example", "https://login.example"],
};

/// A key whose private part signs whatever a test needs.
pub(crate) struct TestKey(pub SigningKey);

impl TestKey {
    pub(crate) fn new(algorithm: KeyAlgorithm) -> Self {
        let new = NewKey::generate(algorithm).unwrap();
        Self(SigningKey {
            id: new.id,
            algorithm,
            private: new.private,
            created_at: NOW,
            active_from: NOW,
            expires_at: None,
        })
    }

    /// Returns the 64 bytes of a signature.
    pub(crate) fn signature(&self, message: &str) -> Vec<u8> {
        let der = self.0.private.expose_secret();
        match self.0.algorithm {
            KeyAlgorithm::EdDsa => {
                let key = ed25519_dalek::SigningKey::from_pkcs8_der(der).unwrap();
                key.sign(message.as_bytes()).to_vec()
            }
            KeyAlgorithm::Es256 => {
                let key = p256::ecdsa::SigningKey::from_pkcs8_der(der).unwrap();
                let signature: p256::ecdsa::Signature = key.sign(message.as_bytes());
                signature.normalize_s().unwrap_or(signature).to_vec()
            }
        }
    }

    /// Returns a signed token with this header and these claims.
    pub(crate) fn sign(&self, header: &str, claims: &[u8]) -> String {
        let message = message(header, claims);
        let signature = self.signature(&message);
        format!("{message}.{}", encoded(&signature))
    }

    /// Returns the header of its access tokens.
    pub(crate) fn header(&self) -> Value {
        json!({ "typ": "at+jwt", "alg": self.0.algorithm.as_str(), "kid": self.0.id })
    }

    pub(crate) fn signing_keys(&self) -> SigningKeys {
        SigningKeys::read(std::slice::from_ref(&self.0)).unwrap()
    }
}

fn message(header: &str, claims: &[u8]) -> String {
    format!("{}.{}", encoded(header.as_bytes()), encoded(claims))
}

/// Returns the claims of a token of ours.
pub(crate) fn claims() -> Claims {
    Claims {
        issuer: EXPECTED.issuer.to_owned(),
        service: "orders".parse().unwrap(),
        registration: Uuid::from_u128(7),
        audiences: vec!["https://api.example".to_owned()],
        issued_at: NOW,
        expires_at: NOW.plus(10 * MINUTE),
        token: Uuid::from_u128(9),
        scopes: vec!["read".parse().unwrap(), "orders:write".parse().unwrap()],
    }
}

/// Returns the same claims as JSON.
fn claims_json() -> Value {
    serde_json::from_slice(&claims().to_json().unwrap()).unwrap()
}

/// Returns `accepted`, or the reason why a token is rejected.
fn outcome(keys: &VerificationKeys, token: &str) -> &'static str {
    match keys.open(token, NOW, &EXPECTED) {
        Ok(_) => "accepted",
        Err(refused) => refused.why.reason().as_str(),
    }
}
