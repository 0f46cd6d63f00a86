//! Client secrets: 256 bits from the system's generator, shown once, kept as a digest.

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::clock::Timestamp;

/// What every client secret begins with, so that a scanner finds one that was committed somewhere.
const PREFIX: &str = "sks_";

/// A client secret in the clear. It exists from its making until it has been shown.
#[derive(Clone, Debug)]
pub struct ClientSecret(SecretString);

impl ClientSecret {
    /// A new secret.
    #[must_use]
    pub fn generate() -> Self {
        let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(rand::random());
        let text = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(*bytes));
        Self(format!("{PREFIX}{}", *text).into())
    }

    /// What is stored of it.
    #[must_use]
    pub fn digest(&self) -> SecretDigest {
        SecretDigest::of(self.0.expose_secret())
    }

    /// The secret, to be shown to whoever is to have it.
    #[must_use]
    pub const fn to_be_shown(&self) -> &SecretString {
        &self.0
    }
}

/// The SHA-256 of a client secret. One round is enough: nobody guesses 256 random bits, and a slow hash would let anyone
/// keep the processors busy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretDigest([u8; 32]);

impl SecretDigest {
    /// The digest of a secret in the clear.
    #[must_use]
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// The digest with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether both are the same; how long it takes does not tell where they differ.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        bool::from(self.0.ct_eq(&other.0))
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest(…)")
    }
}

/// Identifies a client secret; no secret itself.
pub type CredentialId = Uuid;

/// A client secret as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Its id.
    pub id: CredentialId,
    /// Its digest.
    pub digest: SecretDigest,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is not accepted, if ever.
    pub expires_at: Option<Timestamp>,
    /// When a newer one took its place, if one has. Until it expires it is still accepted.
    pub retired_at: Option<Timestamp>,
}

impl Credential {
    /// True where it is accepted no more.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_matches_its_digest_and_shows_itself_to_nobody() {
        let (one, other) = (ClientSecret::generate(), ClientSecret::generate());
        let text = one.to_be_shown().expose_secret();
        assert_eq!(text.len(), PREFIX.len() + 43);
        assert!(SecretDigest::of(text).matches(&one.digest()));
        assert!(!one.digest().matches(&other.digest()));
        assert!(!format!("{one:?} {:?}", one.digest()).contains(&text[4..12]));
    }
}
