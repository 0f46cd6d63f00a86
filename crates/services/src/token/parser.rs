//! The strict parser: rejects everything that is not exactly a compact JWS.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;

use super::{MAX_TOKEN, json::object};
use crate::AuthFailure;

/// A parsed JWT. Nothing in it is verified yet.
pub(crate) struct Parts<'a> {
    header: Header,
    claims: Vec<u8>,
    signature: Vec<u8>,
    signature_text: &'a str,
    signed: &'a str,
}

/// The header members that are read.
///
/// All other members are ignored: `jku`, `x5u`, `jwk` and `x5c` would let the token choose the key that verifies it,
/// and `b64` has no meaning without `crit`, which is rejected.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
}

impl<'a> Parts<'a> {
    /// Parses `token`.
    ///
    /// # Errors
    ///
    /// [`AuthFailure::Malformed`] if it is larger than [`MAX_TOKEN`], does not have exactly three parts in base64url
    /// without padding, has a header that is not a JSON object with a text `alg`, or has a member twice or `crit`: no
    /// critical extension is supported.
    pub(crate) fn of(token: &'a str) -> Result<Self, AuthFailure> {
        if token.len() > MAX_TOKEN {
            return Err(AuthFailure::Malformed("the token is too large"));
        }
        let mut parts = token.split('.');
        let (Some(header), Some(claims), Some(signature_text), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(AuthFailure::Malformed("a token has three parts"));
        };
        // The engine rejects padding, white space, and non-zero trailing bits in the last character: each part has
        // exactly one encoding.
        let decoded = |part: &str| {
            BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| {
                AuthFailure::Malformed("the parts of a token are base64url, without padding")
            })
        };
        let header_json = decoded(header)?;
        Ok(Self {
            header: object(&header_json, &["crit"]).ok_or(AuthFailure::Malformed(
                "the header of a token is a JSON object with alg, without crit, without repeated members",
            ))?,
            claims: decoded(claims)?,
            signature: decoded(signature_text)?,
            signature_text,
            signed: &token[..header.len() + 1 + claims.len()],
        })
    }

    /// Returns the algorithm that the header names.
    pub(crate) fn algorithm(&self) -> &str {
        &self.header.alg
    }

    /// Returns the key that the header names.
    pub(crate) fn key(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// Returns whether the token has one of these types (`typ`, a media type whose `application/` may be omitted).
    pub(crate) fn is_of_type(&self, kinds: &[&str]) -> bool {
        let prefix = "application/";
        self.header.typ.as_deref().is_some_and(|typ| {
            let short = match typ.get(..prefix.len()) {
                Some(start) if start.eq_ignore_ascii_case(prefix) => &typ[prefix.len()..],
                _ => typ,
            };
            kinds.iter().any(|kind| short.eq_ignore_ascii_case(kind))
        })
    }

    /// Returns whether the token has a type.
    pub(crate) const fn has_type(&self) -> bool {
        self.header.typ.is_some()
    }

    /// Returns the claims as JSON, unverified.
    pub(crate) fn claims(&self) -> &[u8] {
        &self.claims
    }

    /// Returns the signature.
    pub(super) fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Returns the signature in base64url.
    pub(super) const fn signature_text(&self) -> &'a str {
        self.signature_text
    }

    /// Returns what is signed: header and claims as received.
    pub(super) const fn signed(&self) -> &'a str {
        self.signed
    }
}
