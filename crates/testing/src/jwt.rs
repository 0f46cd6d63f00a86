//! JSON Web Tokens that the service does not make itself: assertions, and forged or malformed tokens.

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};

/// Returns the `Authorization` header for this ID and secret.
pub fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{id}:{secret}")))
}

/// Encodes a part of a token.
pub fn encoded(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Returns a part of a token as JSON: 0 is the header, 1 the claims.
pub fn part(token: &str, n: usize) -> Value {
    let part = token.split('.').nth(n).unwrap();
    let json = BASE64_URL_SAFE_NO_PAD.decode(part).unwrap();
    serde_json::from_slice(&json).unwrap()
}

/// Encodes header and claims, ready to be signed.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    let [header, claims] = [header, claims].map(|it| encoded(it.to_string()));
    format!("{header}.{claims}")
}

/// Returns a JWT with a signature by `sign`.
pub fn jwt(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let signed = unsigned(header, claims);
    let signature = encoded(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// An Ed25519 key pair.
#[derive(Debug)]
pub struct KeyPair {
    /// The id of the key.
    pub id: String,
    key: SigningKey,
}

impl KeyPair {
    /// Creates the pair of this seed.
    pub fn new(id: &str, seed: u8) -> Self {
        Self::of(id, SigningKey::from_bytes(&[seed; 32]))
    }

    /// Wraps a key.
    pub fn of(id: &str, key: SigningKey) -> Self {
        Self {
            id: id.to_owned(),
            key,
        }
    }

    /// Returns the signature of these bytes.
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.key.sign(bytes).to_vec()
    }

    /// Returns the raw public key.
    pub fn public(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }

    /// Returns the public key as a JWK Set.
    pub fn jwks(&self) -> Value {
        let x = encoded(self.public());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": self.id, "alg": "EdDSA", "x": x}]})
    }

    /// Returns a signed JWT with this `typ` and these claims.
    pub fn jwt(&self, typ: &str, claims: &Value) -> String {
        let header = json!({"typ": typ, "alg": "EdDSA", "kid": self.id});
        jwt(&header, claims, |bytes| self.sign(bytes))
    }
}
