//! The service's own keys, to forge tokens with.

use ed25519_dalek::{SigningKey, pkcs8::DecodePrivateKey};
use secrecy::ExposeSecret;
use skriptoteket::store::Stores;
use skriptoteket_testing::jwt::KeyPair;

/// Returns the service's signing keys.
pub(crate) async fn service_keys(stores: &Stores) -> Vec<KeyPair> {
    let keys = stores.tokens.keys().await.unwrap();
    let pair = |key: skriptoteket::services::SigningKey| {
        let private = SigningKey::from_pkcs8_der(key.private.expose_secret()).unwrap();
        KeyPair::of(&key.id, private)
    };
    keys.into_iter().map(pair).collect()
}
