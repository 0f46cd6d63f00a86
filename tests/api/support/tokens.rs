//! Forged and malformed tokens and assertions.

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use ed25519_dalek::{Signer, SigningKey, pkcs8::DecodePrivateKey};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use skriptoteket::store::Stores;

/// Returns the `Authorization` header for this ID and secret.
pub(crate) fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{id}:{secret}")))
}

fn part(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Encodes header and claims, ready to be signed.
pub(crate) fn unsigned(header: &Value, claims: &Value) -> String {
    format!(
        "{}.{}",
        part(header.to_string().as_bytes()),
        part(claims.to_string().as_bytes())
    )
}

/// Returns a JWT with a signature by `sign`.
pub(crate) fn jwt(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let signed = unsigned(header, claims);
    let signature = part(&sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// An Ed25519 key pair.
pub(crate) struct KeyPair {
    pub(crate) id: String,
    key: SigningKey,
}

impl KeyPair {
    pub(crate) fn new(id: &str, seed: u8) -> Self {
        Self {
            id: id.to_owned(),
            key: SigningKey::from_bytes(&[seed; 32]),
        }
    }

    pub(crate) fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.key.sign(bytes).to_vec()
    }

    /// Returns the raw public key.
    pub(crate) fn public(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }

    /// Returns the public key as a JWK Set.
    pub(crate) fn jwks(&self) -> Value {
        let x = part(&self.public());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": self.id, "alg": "EdDSA", "x": x}]})
    }

    /// Returns a signed JWT with this `typ` and these claims.
    pub(crate) fn jwt(&self, typ: &str, claims: &Value) -> String {
        let header = json!({"typ": typ, "alg": "EdDSA", "kid": self.id});
        jwt(&header, claims, |bytes| self.sign(bytes))
    }
}

/// Returns the service's signing keys.
pub(crate) async fn service_keys(stores: &Stores) -> Vec<KeyPair> {
    let keys = stores.tokens.keys().await.unwrap();
    let pair = |key: skriptoteket::services::SigningKey| KeyPair {
        key: SigningKey::from_pkcs8_der(key.private.expose_secret()).unwrap(),
        id: key.id,
    };
    keys.into_iter().map(pair).collect()
}
