//! The two identifiers of a session: the secret key in the cookie, and the public ID derived from it.

use std::{fmt, str::FromStr};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use skriptoteket_core::user::UserId;

/// The number of shards over which the sessions of all users are distributed.
///
/// A user's sessions share one shard, so that a store can keep them, their index and their counts together. Both
/// identifiers of a session start with the two digits of the shard, so that a session is found from its cookie alone.
pub const SHARDS: u8 = 64;

const SHARD_DIGITS: usize = 2;
/// 32 bytes in unpadded base64.
const SECRET_CHARS: usize = 43;
/// 16 bytes in unpadded base64.
const DIGEST_CHARS: usize = 22;

/// Returns the shard of a user's sessions, `0..SHARDS`.
///
/// The service generates user IDs, so an attacker cannot choose a shard: a plain hash distributes them evenly.
#[must_use]
pub fn shard_of(user: UserId) -> u8 {
    Sha256::digest(user.as_uuid().as_bytes())[0] % SHARDS
}

/// The secret that authenticates a session: two shard digits and 256 random bits in base64url. Only the cookie
/// contains it.
#[derive(Clone)]
pub struct SessionKey(SecretString);

/// The public ID of a session: two shard digits and 128 bits of the SHA-256 of its key, in base64url.
///
/// It may appear in lists and logs: the key cannot be computed from it, and it is not accepted as a key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(String);

/// The text is not a session key or session ID.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a session key or session id")]
pub struct MalformedSessionName;

impl SessionKey {
    /// Generates a new key for a session of `user`, from the operating system's random number generator.
    #[must_use]
    pub fn generate(user: UserId) -> Self {
        let secret: [u8; 32] = rand::random();
        let shard = shard_of(user);
        let secret = BASE64_URL_SAFE_NO_PAD.encode(secret);
        Self(format!("{shard:02}{secret}").into())
    }

    /// Returns the key as the cookie carries it (inside actix-session's encryption).
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Returns the public ID of the session.
    #[must_use]
    pub fn id(&self) -> SessionId {
        SessionId::digest(self.expose())
    }
}

impl FromStr for SessionKey {
    type Err = MalformedSessionName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check(text, SECRET_CHARS)?;
        Ok(Self(text.into()))
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(…)")
    }
}

impl SessionId {
    /// Returns the ID of the session with this key: like [`SessionKey::id`], but without a copy of the secret.
    ///
    /// # Errors
    ///
    /// [`MalformedSessionName`] if the text is not a session key.
    pub fn of_key(text: &str) -> Result<Self, MalformedSessionName> {
        check(text, SECRET_CHARS)?;
        Ok(Self::digest(text))
    }

    fn digest(key: &str) -> Self {
        let digest = Sha256::digest(key.as_bytes());
        let mut id = String::with_capacity(SHARD_DIGITS + DIGEST_CHARS);
        id.push_str(&key[..SHARD_DIGITS]);
        BASE64_URL_SAFE_NO_PAD.encode_string(&digest[..16], &mut id);
        Self(id)
    }

    /// Returns the ID as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the shard, from the first two digits.
    #[must_use]
    pub fn shard(&self) -> u8 {
        self.0[..SHARD_DIGITS].parse().unwrap_or(0)
    }
}

impl FromStr for SessionId {
    type Err = MalformedSessionName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check(text, DIGEST_CHARS)?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({})", self.0)
    }
}

fn check(text: &str, tail: usize) -> Result<(), MalformedSessionName> {
    let base64url = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let (shard, rest) = text
        .split_at_checked(SHARD_DIGITS)
        .ok_or(MalformedSessionName)?;
    let digits = shard.bytes().all(|b| b.is_ascii_digit());
    let in_range = shard.parse::<u8>().is_ok_and(|shard| shard < SHARDS);
    if digits && in_range && rest.len() == tail && rest.bytes().all(base64url) {
        Ok(())
    } else {
        Err(MalformedSessionName)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_names_carry_the_users_shard() {
        let user = UserId::generate();
        let key = SessionKey::generate(user);
        assert_eq!(key.id().shard(), shard_of(user));
        assert!(key.expose().starts_with(&format!("{:02}", shard_of(user))));
    }

    #[test]
    fn a_key_survives_the_cookie_and_an_id_the_url() {
        let key = SessionKey::generate(UserId::generate());
        let read: SessionKey = key.expose().parse().unwrap();
        assert_eq!(read.id(), key.id());
        assert_eq!(SessionId::of_key(key.expose()), Ok(key.id()));
        assert_eq!(key.id().as_str().parse(), Ok(key.id()));
    }

    #[test]
    fn an_id_is_no_key_and_a_key_is_not_shown() {
        let key = SessionKey::generate(UserId::generate());
        assert!(key.id().as_str().parse::<SessionKey>().is_err());
        assert!(!format!("{key:?}").contains(&key.expose()[2..]));
        assert!(!key.id().as_str().contains(&key.expose()[2..12]));
    }

    #[test]
    fn a_shard_that_does_not_exist_is_refused() {
        let tail = "A".repeat(SECRET_CHARS);
        assert!(format!("63{tail}").parse::<SessionKey>().is_ok());
        for shard in ["64", "99", "+1", "a1", "1"] {
            assert!(format!("{shard}{tail}").parse::<SessionKey>().is_err());
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parsers_panic(text in "\\PC{0,80}") {
            let _ = text.parse::<SessionKey>();
            if let Ok(id) = text.parse::<SessionId>() {
                prop_assert!(id.shard() < SHARDS);
            }
        }
    }
}
