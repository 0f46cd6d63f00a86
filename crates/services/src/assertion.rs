//! Signed assertions: a client authenticates with its own key pair (`private_key_jwt`, RFC 7523).

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
use skriptoteket_core::clock::Timestamp;

/// Maximum lifetime of an assertion: an hour, as common clients set it (authlib does), although it is used at once. A
/// longer lifetime would mean remembering its `jti` for longer.
const LONGEST: Duration = Duration::from_hours(1);
/// The maximum length of a `jti`, in bytes.
const MAX_JTI: usize = 256;

/// The public keys of a client.
#[derive(Clone)]
pub struct PublicKeys(Vec<PublicKey>);

/// Why public keys are rejected. The text says what is expected and quotes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPublicKeys {
    /// The JWK Set is too large.
    #[error("the public keys have more than {} bytes", Service::MAX_PUBLIC_KEYS)]
    TooLarge,
    /// The text is not a JWK Set.
    #[error(
        "not a JWK Set: expected a JSON object, for example {{\"keys\":[{{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"…\"}}]}}"
    )]
    Malformed,
    /// There is no key, or there are too many.
    #[error("a client has 1 to {} public keys", PublicKeys::MAX_KEYS)]
    Count,
    /// A key is rejected.
    #[error("public key {place}: {why}")]
    Key {
        /// The position of the key, from 1.
        place: usize,
        /// The reason, and what is expected.
        why: WhyNot,
    },
}

/// Why a public key is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WhyNot(InvalidJwk);

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an assertion has to contain to be accepted.
#[derive(Clone, Copy, Debug)]
pub struct ExpectedAssertion<'a> {
    /// The client: required as `iss` and as `sub`.
    pub client: &'a ServiceId,
    /// The names under which this server may be addressed; one of them is enough (the issuer, the endpoints).
    pub audiences: &'a [&'a str],
}

/// An assertion that was accepted. The caller still has to check that it was not used before: see
/// [`TokenRepository::use_assertion`](super::TokenRepository::use_assertion).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assertion {
    /// The SHA-256 of the client's id and of the assertion's `jti`.
    pub digest: [u8; 32],
    /// When it is no longer accepted, so that it can be deleted: its `exp` plus [`SKEW`].
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

/// The client that an assertion claims to come from.
#[derive(Deserialize)]
struct Subject {
    sub: ServiceId,
}

impl PublicKeys {
    /// The maximum number of keys of a client: two while it replaces its key, and some for its replicas.
    pub const MAX_KEYS: usize = 8;

    /// Reads a JWK Set of 1 to [`PublicKeys::MAX_KEYS`] public keys: Ed25519 (`EdDSA`), P-256 (`ES256`) or RSA with 2048 to
    /// 4096 bits (`RS256`).
    ///
    /// # Errors
    ///
    /// [`InvalidPublicKeys`] says what is expected. A private key is rejected, so that none is stored.
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

    /// Verifies an assertion.
    ///
    /// Costs one signature check for each candidate key: the keys with its `kid` or without any, or all keys if it has
    /// no `kid`, as far as they use its algorithm.
    ///
    /// # Errors
    ///
    /// `Malformed`, `BadSignature`, `ExpiredToken` (outside its validity) or `WrongAudience` (for another audience, or
    /// from another client).
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

/// Returns the client that an assertion claims to come from, to look its keys up. Nothing is verified: trust it only
/// after [`PublicKeys::open`].
#[must_use]
pub fn claimed_client(assertion: &str) -> Option<ServiceId> {
    let parts = front(assertion).ok()?;
    object(parts.claims(), &[]).map(|Subject { sub }| sub)
}

/// Parses an assertion. An access token is rejected: a service that receives one could otherwise authenticate as its
/// owner.
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
        // No id contains a zero byte, so two different pairs of id and `jti` never give the same text.
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
            reason = "the cast saturates, and values out of range are rejected"
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
