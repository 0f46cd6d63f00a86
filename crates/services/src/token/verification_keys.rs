//! The keys that verify tokens.

use std::fmt;

use jsonwebtoken::Algorithm;
use serde_json::Value;

use super::{Claims, Expected, InvalidJwk, Parts, PublicKey};
use crate::{AuthFailure, ServiceId};
use skriptoteket_core::clock::Timestamp;

/// The public keys of an issuer. They verify the tokens that one of them has signed.
///
/// Verification costs one signature check (tens of microseconds) and some small allocations; a token that is malformed
/// or names an unknown key costs no signature check.
#[derive(Default)]
pub struct VerificationKeys {
    keys: Vec<PublicKey>,
}

/// A token that was rejected.
#[derive(Debug, thiserror::Error)]
#[error("the token was rejected")]
pub struct TokenRejected {
    /// The service that the token was issued to, if its signature is valid.
    pub claims_service: Option<ServiceId>,
    /// True if the token names a key that is not in this set. A caller that fetched the set may fetch it again: the key
    /// may be new.
    pub unknown_key: bool,
    /// The reason.
    #[source]
    pub why: AuthFailure,
}

/// Why a JWK Set cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJwks {
    /// The JWK Set is too large.
    #[error("the JWK Set has more than {} bytes", VerificationKeys::MAX_JWKS)]
    TooLarge,
    /// The text is not a JWK Set.
    #[error("not a JWK Set: expected a JSON object with an array `keys`")]
    Malformed,
    /// The JWK Set has too many keys.
    #[error("the JWK Set has more than {} keys", VerificationKeys::MAX_KEYS)]
    TooManyKeys,
    /// The JWK Set has no key that could sign tokens.
    #[error("the JWK Set has no key with kid for EdDSA (Ed25519) or ES256 (P-256)")]
    NoKeys,
}

impl VerificationKeys {
    /// The maximum size of a JWK Set, in bytes.
    pub const MAX_JWKS: usize = 64 * 1024;
    /// The maximum number of keys in a JWK Set.
    pub const MAX_KEYS: usize = 32;

    /// Parses the JWK Set that an issuer publishes. Keys of other kinds than those that sign tokens, and keys without
    /// `kid`, are ignored.
    ///
    /// # Errors
    ///
    /// [`InvalidJwks`] if the text is not a JWK Set, is too large, or has no usable key.
    pub fn from_jwks(json: &str) -> Result<Self, InvalidJwks> {
        if json.len() > Self::MAX_JWKS {
            return Err(InvalidJwks::TooLarge);
        }
        let set: Value = serde_json::from_str(json).map_err(|_| InvalidJwks::Malformed)?;
        let keys = set.get("keys").and_then(Value::as_array);
        let keys = keys.ok_or(InvalidJwks::Malformed)?;
        if keys.len() > Self::MAX_KEYS {
            return Err(InvalidJwks::TooManyKeys);
        }
        let keys: Vec<PublicKey> = keys
            .iter()
            .filter_map(|jwk| PublicKey::read(jwk).ok())
            .filter(|key| key.id().is_some() && key.algorithm() != Algorithm::RS256)
            .collect();
        if keys.is_empty() {
            return Err(InvalidJwks::NoKeys);
        }
        Ok(Self { keys })
    }

    /// Creates the set from JWKs.
    pub(crate) fn of(jwks: &[Value]) -> Result<Self, InvalidJwk> {
        let keys = jwks.iter().map(PublicKey::read).collect::<Result<_, _>>()?;
        Ok(Self { keys })
    }

    /// Returns whether there is a key with this `kid`.
    #[must_use]
    pub fn knows(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.id() == Some(kid))
    }

    /// Verifies a token.
    ///
    /// # Errors
    ///
    /// [`TokenRejected`], with `Malformed`, `BadSignature`, `ExpiredToken` or `WrongAudience`. Whether the token was
    /// revoked, and whether the service is still registered, is not checked here.
    pub fn open(
        &self,
        token: &str,
        now: Timestamp,
        expected: &Expected<'_>,
    ) -> Result<Claims, TokenRejected> {
        let stranger = |why| TokenRejected {
            claims_service: None,
            unknown_key: false,
            why,
        };
        let parts = Parts::of(token).map_err(stranger)?;
        if !parts.is_of_type(&["at+jwt"]) {
            return Err(stranger(AuthFailure::Malformed(
                "an access token has typ at+jwt",
            )));
        }
        let Some(key) = self.key_of(&parts) else {
            return Err(TokenRejected {
                unknown_key: parts.key().is_some_and(|kid| !self.knows(kid)),
                ..stranger(AuthFailure::BadSignature)
            });
        };
        if !has_one_spelling(key, &parts) || !key.has_signed(&parts) {
            return Err(stranger(AuthFailure::BadSignature));
        }
        let (claims, valid_from) = Claims::read(parts.claims()).ok_or_else(|| {
            stranger(AuthFailure::Malformed(
                "the claims are not an access token's",
            ))
        })?;
        match claims.check(valid_from, now, expected) {
            Ok(()) => Ok(claims),
            Err(why) => Err(TokenRejected {
                claims_service: Some(claims.service),
                unknown_key: false,
                why,
            }),
        }
    }

    /// Returns the key that the token names, if the token also names that key's algorithm.
    fn key_of(&self, token: &Parts<'_>) -> Option<&PublicKey> {
        let kid = token.key()?;
        self.keys.iter().find(|key| {
            let algorithm = match key.algorithm() {
                Algorithm::ES256 => "ES256",
                _ => "EdDSA",
            };
            key.id() == Some(kid) && algorithm == token.algorithm()
        })
    }
}

/// Returns false for the second form that every ECDSA signature has, `(r, n - s)`. It can be derived from the first
/// without the key; we sign with the lower `s` only. So no token has two spellings, which matters because tokens are
/// remembered by their text.
fn has_one_spelling(key: &PublicKey, token: &Parts<'_>) -> bool {
    key.algorithm() != Algorithm::ES256
        || p256::ecdsa::Signature::from_slice(token.signature())
            .is_ok_and(|signature| signature.normalize_s().is_none())
}

impl fmt::Debug for VerificationKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = self.keys.iter().map(PublicKey::id);
        f.debug_list().entries(ids.flatten()).finish()
    }
}
