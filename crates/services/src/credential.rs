//! Client secrets: 256 bits from the system's random generator, shown once, stored as a digest.

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

use skriptoteket_core::clock::Timestamp;

/// The prefix of every client secret, so that a secret scanner finds one that was committed by mistake.
const PREFIX: &str = "sks_";

/// A client secret in plain text. It exists from its creation until it has been shown.
#[derive(Clone, Debug)]
pub struct ClientSecret(SecretString);

impl ClientSecret {
    /// Creates a new secret.
    #[must_use]
    pub fn generate() -> Self {
        let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(rand::random());
        let text = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(*bytes));
        Self(format!("{PREFIX}{}", *text).into())
    }

    /// Returns the digest, which is what is stored.
    #[must_use]
    pub fn digest(&self) -> SecretDigest {
        SecretDigest::of(self.0.expose_secret())
    }

    /// Returns the secret, to show it to its recipient.
    #[must_use]
    pub const fn to_be_shown(&self) -> &SecretString {
        &self.0
    }
}

/// The SHA-256 of a client secret. One round is enough: 256 random bits cannot be guessed, and a slow hash would let an
/// attacker keep the processors busy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretDigest([u8; 32]);

impl SecretDigest {
    /// Returns the digest of a secret in plain text.
    #[must_use]
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// Creates a digest from its bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Compares two digests in constant time.
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

/// Identifies a client secret; not secret itself.
pub type CredentialId = Uuid;

/// A stored client secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Its id.
    pub id: CredentialId,
    /// Its digest.
    pub digest: SecretDigest,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it stops being accepted, if ever.
    pub expires_at: Option<Timestamp>,
    /// When it was replaced by a newer one, if it was. Until it expires it is still accepted.
    pub retired_at: Option<Timestamp>,
}

impl Credential {
    /// True if it is no longer accepted.
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
