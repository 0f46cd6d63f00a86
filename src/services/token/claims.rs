//! What a token says.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{SKEW, json::object};
use crate::{
    clock::Timestamp,
    services::{AuthFailure, Scope, ServiceId, TokenId, same_resource},
};

/// The last second that a claim can name: the end of the year 9999.
const LAST_SECOND: i64 = 253_402_300_799;

/// What an access token says (RFC 9068). Times have whole seconds in a token: what is below is cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Who made it (`iss`).
    pub issuer: String,
    /// Whom it was made for (`sub` and `client_id`).
    pub service: ServiceId,
    /// Which registration of the service (`reg`, a claim of our own): a service that was deleted and registered again has
    /// another one, and the tokens of the first are none of the second's.
    pub registration: Uuid,
    /// Whom it may be shown to (`aud`); at least one.
    pub audiences: Vec<String>,
    /// When it was made (`iat`).
    pub issued_at: Timestamp,
    /// From when on it is not valid (`exp`).
    pub expires_at: Timestamp,
    /// Its id (`jti`).
    pub token: TokenId,
    /// What it allows (`scope`).
    pub scopes: Vec<Scope>,
}

/// What a token has to be to be accepted.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Who must have made it.
    pub issuer: &'a str,
    /// Whom it may be for: one of these is enough.
    pub audiences: &'a [&'a str],
}

/// `aud`: one text, or several.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
pub(in crate::services) enum Audiences {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

impl Audiences {
    /// All of them.
    pub(in crate::services) fn into_vec(self) -> Vec<String> {
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

/// The claims as they are written.
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
    /// The claims as JSON.
    pub(in crate::services) fn to_json(&self) -> serde_json::Result<Vec<u8>> {
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

    /// Reads claims, and from when on they hold. `None` where they are not what we write: claims we do not know are
    /// passed over, those we know have to be there in the form that RFC 9068 gives them, `iat` and `exp` in whole seconds.
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

    /// Whether they hold at `now`, for `expected`.
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

/// The point `seconds` after the Unix epoch, where a token may name it.
pub(in crate::services) fn timestamp(seconds: i64) -> Option<Timestamp> {
    (0..=LAST_SECOND)
        .contains(&seconds)
        .then(|| Timestamp::from_millis(seconds * 1000))
}
