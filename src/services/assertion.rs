//! Signed assertions: how a client proves with a key pair of its own who it is (`private_key_jwt`, RFC 7523).

use std::{fmt, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    AuthFailure, SKEW, Service, ServiceId, same_resource,
    token::{Audiences, InvalidJwk, Parts, PublicKey, object, timestamp},
};
use crate::clock::Timestamp;

/// How long an assertion may last: an hour, as stock clients write it (authlib does), though it is used at once. How long its
/// `jti` has to be remembered grows with this.
const LONGEST: Duration = Duration::from_hours(1);
/// The longest `jti`, in bytes.
const MAX_JTI: usize = 256;

/// The public keys of a client.
#[derive(Clone)]
pub struct PublicKeys(Vec<PublicKey>);

/// Why public keys are not accepted. The text says what would be right and quotes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPublicKeys {
    /// There is too much of it.
    #[error("the public keys have more than {} bytes", Service::MAX_PUBLIC_KEYS)]
    TooLarge,
    /// It is no JWK Set.
    #[error(
        "not a JWK Set: expected a JSON object such as {{\"keys\":[{{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"…\"}}]}}"
    )]
    Malformed,
    /// There is no key, or there are too many.
    #[error("a client has 1 to {} public keys", PublicKeys::MAX_KEYS)]
    Count,
    /// A key is not accepted.
    #[error("public key {place}: {why}")]
    Key {
        /// Which, from 1.
        place: usize,
        /// Why, and what would be right.
        why: WhyNot,
    },
}

/// Why one public key is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WhyNot(InvalidJwk);

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an assertion has to be to be accepted.
#[derive(Clone, Copy, Debug)]
pub struct ExpectedAssertion<'a> {
    /// Whose it must be: its `iss` and its `sub`.
    pub client: &'a ServiceId,
    /// How it may call us: one of these is enough (our issuer, our endpoints).
    pub audiences: &'a [&'a str],
}

/// An assertion that was accepted. It still has to be the first of its kind: see
/// [`TokenRepository::use_assertion`](super::TokenRepository::use_assertion).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assertion {
    /// The SHA-256 of the client's id and of the assertion's `jti`.
    pub digest: [u8; 32],
    /// From when on nobody accepts it, so that it can be forgotten: its `exp` and [`SKEW`].
    pub expires_at: Timestamp,
}

/// The claims of an assertion.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audiences,
    exp: Date,
    jti: String,
    iat: Option<Date>,
    nbf: Option<Date>,
}

/// Whom an assertion claims to be of.
#[derive(Deserialize)]
struct Subject {
    sub: ServiceId,
}

impl PublicKeys {
    /// The most keys of a client: two while it changes from one to the next, and some for its replicas.
    pub const MAX_KEYS: usize = 8;

    /// Reads a JWK Set of 1 to [`PublicKeys::MAX_KEYS`] public keys: Ed25519 (`EdDSA`), P-256 (`ES256`) or RSA with 2048 to
    /// 4096 bits (`RS256`).
    ///
    /// # Errors
    ///
    /// [`InvalidPublicKeys`] says what would be right. A private key is refused, so that none is stored.
    pub fn parse(jwks_json: &str) -> Result<Self, InvalidPublicKeys> {
        if jwks_json.len() > Service::MAX_PUBLIC_KEYS {
            return Err(InvalidPublicKeys::TooLarge);
        }
        let set: Value =
            serde_json::from_str(jwks_json).map_err(|_| InvalidPublicKeys::Malformed)?;
        let keys = set.get("keys").and_then(Value::as_array);
        let keys = keys.ok_or(InvalidPublicKeys::Malformed)?;
        if !(1..=Self::MAX_KEYS).contains(&keys.len()) {
            return Err(InvalidPublicKeys::Count);
        }
        let read = |(place, jwk)| {
            PublicKey::read(jwk).map_err(|why| InvalidPublicKeys::Key {
                place,
                why: WhyNot(why),
            })
        };
        let keys = (1..).zip(keys).map(read).collect::<Result<_, _>>()?;
        Ok(Self(keys))
    }

    /// Checks an assertion.
    ///
    /// Costs one signature check for each key that it can be of: those with its `kid` or without any, or all where it
    /// names none, as far as they sign by its algorithm.
    ///
    /// # Errors
    ///
    /// `Malformed`, `BadSignature`, `ExpiredToken` (outside its time) or `WrongAudience` (for somebody else, or of another
    /// client).
    pub fn open(
        &self,
        assertion: &str,
        now: Timestamp,
        expected: &ExpectedAssertion<'_>,
    ) -> Result<Assertion, AuthFailure> {
        let parts = front(assertion)?;
        let may_be_of = |key: &&PublicKey| {
            let named = key.id().is_none() || parts.key().is_none_or(|kid| key.id() == Some(kid));
            named && key.signs_by(parts.algorithm())
        };
        if !self
            .0
            .iter()
            .filter(may_be_of)
            .any(|key| key.has_signed(&parts))
        {
            return Err(AuthFailure::BadSignature);
        }
        let claims: Claims = object(parts.claims(), &[]).ok_or(AuthFailure::Malformed(
            "an assertion has iss, sub, aud, exp and jti, each once",
        ))?;
        claims.check(now, expected)
    }
}

/// Whom an assertion claims to be of, to look its keys up. Nothing is checked: believe it only after
/// [`PublicKeys::open`].
#[must_use]
pub fn claimed_client(assertion: &str) -> Option<ServiceId> {
    let parts = front(assertion).ok()?;
    object(parts.claims(), &[]).map(|Subject { sub }| sub)
}

/// Takes an assertion apart. An access token is none: a service to which one was shown could pass as its owner.
fn front(assertion: &str) -> Result<Parts<'_>, AuthFailure> {
    let parts = Parts::of(assertion)?;
    if parts.has_type() && !parts.is_of_type(&["JWT", "client-authentication+jwt"]) {
        return Err(AuthFailure::Malformed(
            "an assertion has typ JWT or client-authentication+jwt, or none",
        ));
    }
    Ok(parts)
}

impl Claims {
    fn check(
        self,
        now: Timestamp,
        expected: &ExpectedAssertion<'_>,
    ) -> Result<Assertion, AuthFailure> {
        if !(1..=MAX_JTI).contains(&self.jti.len()) {
            return Err(AuthFailure::Malformed("jti has 1 to 256 bytes"));
        }
        let Date(expires) = self.exp;
        let latest_start = now.plus(SKEW);
        let starts = [self.iat, self.nbf].into_iter().flatten();
        if expires.plus(SKEW) <= now || starts.into_iter().any(|Date(at)| at > latest_start) {
            return Err(AuthFailure::ExpiredToken);
        }
        if expires > latest_start.plus(LONGEST) {
            return Err(AuthFailure::Malformed(
                "an assertion expires in an hour at most",
            ));
        }
        let client = expected.client.as_str();
        let audiences = self.aud.into_vec();
        let for_us = |audience: &String| {
            let known = |it: &&str| same_resource(it, audience);
            expected.audiences.iter().any(known)
        };
        if self.iss != client || self.sub != client || !audiences.iter().any(for_us) {
            return Err(AuthFailure::WrongAudience);
        }
        // No id has a zero byte: two pairs of id and `jti` never make the same text.
        let digest = Sha256::new()
            .chain_update(client)
            .chain_update([0])
            .chain_update(&self.jti)
            .finalize();
        Ok(Assertion {
            digest: digest.into(),
            expires_at: expires.plus(SKEW),
        })
    }
}

/// A time in seconds since the Unix epoch. RFC 7519 allows fractions, and some clients send them.
struct Date(Timestamp);

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DateVisitor)
    }
}

struct DateVisitor;

impl Visitor<'_> for DateVisitor {
    type Value = Date;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("seconds since the Unix epoch, until the year 9999")
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<Date, E> {
        timestamp(seconds)
            .map(Date)
            .ok_or_else(|| E::custom("no such time"))
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Date, E> {
        self.visit_i64(i64::try_from(seconds).map_err(E::custom)?)
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<Date, E> {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the cast saturates, and what is out of range is refused"
        )]
        let whole = seconds.floor() as i64;
        self.visit_i64(whole)
    }
}

impl fmt::Debug for PublicKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(PublicKey::id))
            .finish()
    }
}

#[cfg(test)]
mod tests;
