//! The claims of a token.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::json::object;
use crate::{AuthFailure, SKEW, Scope, ServiceId, TokenId, same_resource};
use skriptoteket_core::clock::Timestamp;

/// The last second that a claim can represent: the end of the year 9999.
const LAST_SECOND: i64 = 253_402_300_799;

/// The claims of an access token (RFC 9068). Times in a token are whole seconds: fractions are cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The issuer (`iss`).
    pub issuer: String,
    /// The service that it was issued to (`sub` and `client_id`).
    pub service: ServiceId,
    /// The registration of the service (`reg`, a private claim): a service that was deleted and registered again has
    /// another one, and tokens of the first registration are not valid for the second.
    pub registration: Uuid,
    /// The audiences (`aud`); at least one.
    pub audiences: Vec<String>,
    /// When it was issued (`iat`).
    pub issued_at: Timestamp,
    /// When it expires (`exp`).
    pub expires_at: Timestamp,
    /// Its id (`jti`).
    pub token: TokenId,
    /// The scopes (`scope`).
    pub scopes: Vec<Scope>,
}

/// The claims that a token needs to be accepted.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The required issuer.
    pub issuer: &'a str,
    /// The accepted audiences: one of them is enough.
    pub audiences: &'a [&'a str],
}

/// `aud`: one string or several.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
pub(crate) enum Audiences {
    /// One audience.
    One(String),
    /// Several audiences.
    Several(Vec<String>),
}

impl Audiences {
    /// Returns all audiences.
    pub(crate) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Several(several) => several,
        }
    }

    fn of(mut all: Vec<String>) -> Self {
        match (all.pop(), all.is_empty()) {
            (Some(one), true) => Self::One(one),
            (Some(last), false) => {
                all.push(last);
                Self::Several(all)
            }
            (None, _) => Self::Several(all),
        }
    }
}

/// The claims as serialized.
#[derive(Deserialize, Serialize)]
struct Wire {
    iss: String,
    sub: ServiceId,
    client_id: ServiceId,
    aud: Audiences,
    iat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    exp: i64,
    jti: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    reg: Uuid,
}

impl Claims {
    /// Returns the claims as JSON.
    pub(crate) fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        let scopes: Vec<&str> = self.scopes.iter().map(Scope::as_str).collect();
        serde_json::to_vec(&Wire {
            iss: self.issuer.clone(),
            sub: self.service.clone(),
            client_id: self.service.clone(),
            aud: Audiences::of(self.audiences.clone()),
            iat: self.issued_at.as_millis().div_euclid(1000),
            nbf: None,
            exp: self.expires_at.as_millis().div_euclid(1000),
            jti: self.token,
            scope: (!scopes.is_empty()).then(|| scopes.join(" ")),
            reg: self.registration,
        })
    }

    /// Parses claims. Also returns the time from which they are valid. `None` if they do not have the expected form:
    /// unknown claims are ignored, known claims have to be present in the form of RFC 9068, with `iat` and `exp` in
    /// whole seconds.
    pub(super) fn read(json: &[u8]) -> Option<(Self, Timestamp)> {
        let wire: Wire = object(json, &[])?;
        if wire.sub != wire.client_id {
            return None;
        }
        let issued_at = timestamp(wire.iat)?;
        let valid_from = match wire.nbf {
            Some(nbf) => timestamp(nbf)?.max(issued_at),
            None => issued_at,
        };
        let scopes = match &wire.scope {
            Some(scope) => scope
                .split(' ')
                .map(|one| one.parse().ok())
                .collect::<Option<_>>()?,
            None => Vec::new(),
        };
        let claims = Self {
            issuer: wire.iss,
            service: wire.sub,
            registration: wire.reg,
            audiences: wire.aud.into_vec(),
            issued_at,
            expires_at: timestamp(wire.exp)?,
            token: wire.jti,
            scopes,
        };
        Some((claims, valid_from))
    }

    /// Checks that the claims are valid at `now` for `expected`.
    pub(super) fn check(
        &self,
        valid_from: Timestamp,
        now: Timestamp,
        expected: &Expected<'_>,
    ) -> Result<(), AuthFailure> {
        if valid_from > now.plus(SKEW) || self.expires_at.plus(SKEW) <= now {
            return Err(AuthFailure::ExpiredToken);
        }
        let for_us = |audience: &String| {
            let known = |it: &&str| same_resource(it, audience);
            expected.audiences.iter().any(known)
        };
        if self.issuer != expected.issuer || !self.audiences.iter().any(for_us) {
            return Err(AuthFailure::WrongAudience);
        }
        Ok(())
    }
}

/// Returns the time `seconds` after the Unix epoch, if it is in the range of a token.
pub(crate) fn timestamp(seconds: i64) -> Option<Timestamp> {
    (0..=LAST_SECOND)
        .contains(&seconds)
        .then(|| Timestamp::from_millis(seconds * 1000))
}
