//! The keys that sign tokens: created, parsed, published.

use std::{fmt, sync::Arc};

use ed25519_dalek::Signer as _;
use p256::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _};
use rand::random;
use secrecy::{ExposeSecret, SecretSlice};
use serde::Serialize;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{
    Claims, KeyAlgorithm, MAX_TOKEN, SigningKey, VerificationKeys,
    token::{PublicJwk, encoded},
};
use skriptoteket_core::{clock::Timestamp, error::Cause};

/// Why a key could not be created, read or used. The text names the key and never contains key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No key could be created.
    #[error("could not create a signing key")]
    NotMade(#[source] Cause),
    /// A stored key cannot be read.
    #[error("the signing key {id} cannot be read")]
    Unreadable {
        /// Its `kid`.
        id: String,
        /// The cause.
        #[source]
        cause: Cause,
    },
    /// The keys cannot be published.
    #[error("the signing keys cannot be published")]
    Unpublishable(#[source] Cause),
    /// There is no key.
    #[error("there is no signing key")]
    NoKey,
    /// The claims cannot be written.
    #[error("the claims cannot be written")]
    Claims(#[source] Cause),
    /// The token would exceed the size that verifiers accept.
    #[error(
        "the token would be larger than {MAX_TOKEN} bytes: it has too many scopes or audiences"
    )]
    TooLarge,
}

/// A new signing key.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Its `kid`: the thumbprint of its public part (RFC 7638).
    pub id: String,
    /// The signature algorithm.
    pub algorithm: KeyAlgorithm,
    /// The private key in PKCS #8 (DER).
    pub private: SecretSlice<u8>,
}

impl NewKey {
    /// Creates a key from the system's randomness. Takes a fraction of a millisecond.
    ///
    /// # Errors
    ///
    /// [`KeyError::NotMade`] if the key cannot be created.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, KeyError> {
        let pair = Pair::generate(algorithm);
        let der = match &pair {
            Pair::Ed25519(key) => key.to_pkcs8_der(),
            Pair::P256(key) => key.to_pkcs8_der(),
        };
        let der = der.map_err(|error| KeyError::NotMade(error.into()))?;
        Ok(Self {
            id: pair.public().thumbprint(),
            algorithm,
            private: der.as_bytes().to_vec().into(),
        })
    }
}

/// The signing keys of this service, ready to sign and to verify.
///
/// Parsing takes some tens of microseconds per key, signing some tens of microseconds per token.
pub struct SigningKeys {
    keys: Vec<LoadedKey>,
    public: Arc<VerificationKeys>,
    jwks: Arc<str>,
}

/// A parsed signing key. The private part stays inside.
pub struct LoadedKey {
    id: String,
    algorithm: KeyAlgorithm,
    active_from: Timestamp,
    header: String,
    pair: Pair,
}

/// The published form of a key.
#[derive(Serialize)]
struct Published<'a> {
    #[serde(flatten)]
    key: PublicJwk,
    #[serde(rename = "use")]
    purpose: &'static str,
    alg: &'static str,
    kid: &'a str,
}

impl SigningKeys {
    /// Parses keys, in any order. Without keys nothing can be signed or verified.
    ///
    /// # Errors
    ///
    /// [`KeyError::Unreadable`] names the first key that is invalid.
    pub fn read(keys: &[SigningKey]) -> Result<Self, KeyError> {
        let keys = keys
            .iter()
            .map(LoadedKey::read)
            .collect::<Result<Vec<_>, _>>()?;
        let published: Vec<Value> = keys
            .iter()
            .map(LoadedKey::publish)
            .collect::<Result<_, _>>()
            .map_err(|error| KeyError::Unpublishable(error.into()))?;
        let public = VerificationKeys::of(&published)
            .map_err(|error| KeyError::Unpublishable(error.into()))?;
        Ok(Self {
            keys,
            public: Arc::new(public),
            jwks: serde_json::json!({ "keys": published }).to_string().into(),
        })
    }

    /// Returns the public keys as a JWK Set (JSON): all keys, whether they do not sign yet, sign now, or no longer
    /// sign.
    #[must_use]
    pub const fn jwks(&self) -> &Arc<str> {
        &self.jwks
    }

    /// Returns the public keys, which verify what these keys sign.
    #[must_use]
    pub const fn verification_keys(&self) -> &Arc<VerificationKeys> {
        &self.public
    }

    /// Returns whether there is a key with this `kid`.
    #[must_use]
    pub fn knows(&self, kid: &str) -> bool {
        self.public.knows(kid)
    }

    /// Returns the key that signs at `now`: the active key that became active last, or, if none is active yet, the
    /// first to become active.
    #[must_use]
    pub fn active(&self, now: Timestamp) -> Option<&LoadedKey> {
        signs_at(&self.keys, now, |key| key.active_from)
    }

    /// Signs claims with the key that is active at `now`.
    ///
    /// # Errors
    ///
    /// [`KeyError::NoKey`] if there is no key, [`KeyError::TooLarge`] if the token would be too large for verifiers.
    pub fn sign(&self, now: Timestamp, claims: &Claims) -> Result<String, KeyError> {
        let key = self.active(now).ok_or(KeyError::NoKey)?;
        let json = claims
            .to_json()
            .map_err(|error| KeyError::Claims(error.into()))?;
        let mut token = format!("{}.{}", key.header, encoded(&json));
        let signature = key.pair.sign(token.as_bytes());
        token.push('.');
        token.push_str(&encoded(&signature));
        if token.len() > MAX_TOKEN {
            return Err(KeyError::TooLarge);
        }
        Ok(token)
    }
}

/// Returns the key that signs at `now`: the active key that became active last, or, if none is active yet, the first to
/// become active.
pub fn signs_at<K>(
    keys: &[K],
    now: Timestamp,
    active_from: impl Fn(&K) -> Timestamp,
) -> Option<&K> {
    let active = keys.iter().filter(|key| active_from(key) <= now);
    let first = || keys.iter().min_by_key(|key| active_from(key));
    active.max_by_key(|key| active_from(key)).or_else(first)
}

impl LoadedKey {
    /// Returns its `kid`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns its signature algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// Returns when it begins to sign; it signs until another key does.
    #[must_use]
    pub const fn active_from(&self) -> Timestamp {
        self.active_from
    }

    fn read(key: &SigningKey) -> Result<Self, KeyError> {
        let der = key.private.expose_secret();
        let pair = match key.algorithm {
            KeyAlgorithm::EdDsa => {
                ed25519_dalek::SigningKey::from_pkcs8_der(der).map(Pair::Ed25519)
            }
            KeyAlgorithm::Es256 => p256::ecdsa::SigningKey::from_pkcs8_der(der).map(Pair::P256),
        };
        let pair = pair.map_err(|error| KeyError::Unreadable {
            id: key.id.clone(),
            cause: error.into(),
        })?;
        let header = serde_json::json!({
            "typ": "at+jwt",
            "alg": key.algorithm.as_str(),
            "kid": key.id,
        });
        Ok(Self {
            id: key.id.clone(),
            algorithm: key.algorithm,
            active_from: key.active_from,
            header: encoded(header.to_string().as_bytes()),
            pair,
        })
    }

    fn publish(&self) -> serde_json::Result<Value> {
        serde_json::to_value(Published {
            key: self.pair.public(),
            purpose: "sig",
            alg: self.algorithm.as_str(),
            kid: &self.id,
        })
    }
}

/// A private key; its memory is wiped when it is dropped.
enum Pair {
    Ed25519(ed25519_dalek::SigningKey),
    P256(p256::ecdsa::SigningKey),
}

impl Pair {
    fn generate(algorithm: KeyAlgorithm) -> Self {
        loop {
            let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(random());
            match algorithm {
                KeyAlgorithm::EdDsa => return Self::Ed25519((&*bytes).into()),
                // Not every number is a scalar of the curve; one in four thousand million is not.
                KeyAlgorithm::Es256 => {
                    if let Ok(key) = p256::ecdsa::SigningKey::from_slice(&*bytes) {
                        return Self::P256(key);
                    }
                }
            }
        }
    }

    fn public(&self) -> PublicJwk {
        match self {
            Self::Ed25519(key) => PublicJwk::Ed25519 {
                crv: "Ed25519",
                x: encoded(key.verifying_key().as_bytes()),
            },
            Self::P256(key) => {
                // 0x04, then both coordinates.
                let point = key.verifying_key().to_encoded_point(false);
                let (x, y) = point.as_bytes()[1..].split_at(32);
                PublicJwk::P256 {
                    crv: "P-256",
                    x: encoded(x),
                    y: encoded(y),
                }
            }
        }
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        match self {
            Self::Ed25519(key) => key.sign(message).to_bytes(),
            Self::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                // Of the two forms of a signature, always the lower one: see `VerificationKeys::open`.
                signature
                    .normalize_s()
                    .unwrap_or(signature)
                    .to_bytes()
                    .into()
            }
        }
    }
}

impl fmt::Debug for LoadedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadedKey")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .field("active_from", &self.active_from)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.keys).finish()
    }
}

#[cfg(test)]
mod tests;
