//! The strict front: what is not a compact JWS in every detail goes no further.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;

use super::{MAX_TOKEN, json::object};
use crate::services::AuthFailure;

/// A JWT taken apart. Nothing of it is believed yet.
pub(in crate::services) struct Parts<'a> {
    header: Header,
    claims: Vec<u8>,
    signature: Vec<u8>,
    signature_text: &'a str,
    signed: &'a str,
}

/// What is read of a header.
///
/// All else is passed over: `jku`, `x5u`, `jwk` and `x5c` would let the token say which key to check it with, and `b64`
/// has no meaning without `crit`, which is refused.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
}

impl<'a> Parts<'a> {
    /// Takes `token` apart.
    ///
    /// # Errors
    ///
    /// [`AuthFailure::Malformed`] where it is larger than [`MAX_TOKEN`], has not exactly three parts in base64url without
    /// padding, a header that is no JSON object with a text `alg`, names a member twice or has `crit`: we know no extension
    /// that could be critical.
    pub(in crate::services) fn of(token: &'a str) -> Result<Self, AuthFailure> {
        if token.len() > MAX_TOKEN {
            return Err(AuthFailure::Malformed("the token is too large"));
        }
        let mut parts = token.split('.');
        let (Some(header), Some(claims), Some(signature_text), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(AuthFailure::Malformed("a token has three parts"));
        };
        // The engine refuses padding, white space, and bits of the last character that carry nothing: there is one way to
        // write each part.
        let decoded = |part: &str| {
            BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| {
                AuthFailure::Malformed("the parts of a token are base64url, without padding")
            })
        };
        let header_json = decoded(header)?;
        Ok(Self {
            header: object(&header_json, &["crit"]).ok_or(AuthFailure::Malformed(
                "the header of a token is a JSON object with alg, without crit, with no member twice",
            ))?,
            claims: decoded(claims)?,
            signature: decoded(signature_text)?,
            signature_text,
            signed: &token[..header.len() + 1 + claims.len()],
        })
    }

    /// The algorithm that the header names.
    pub(in crate::services) fn algorithm(&self) -> &str {
        &self.header.alg
    }

    /// The key that the header names.
    pub(in crate::services) fn key(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// Whether the token says that it is one of these kinds (`typ`, a media type whose `application/` may be left out).
    pub(in crate::services) fn is_of_type(&self, kinds: &[&str]) -> bool {
        let prefix = "application/";
        self.header.typ.as_deref().is_some_and(|typ| {
            let short = match typ.get(..prefix.len()) {
                Some(start) if start.eq_ignore_ascii_case(prefix) => &typ[prefix.len()..],
                _ => typ,
            };
            kinds.iter().any(|kind| short.eq_ignore_ascii_case(kind))
        })
    }

    /// Whether the token says of what kind it is.
    pub(in crate::services) const fn has_type(&self) -> bool {
        self.header.typ.is_some()
    }

    /// The claims as JSON, as far as anyone has looked.
    pub(in crate::services) fn claims(&self) -> &[u8] {
        &self.claims
    }

    /// The signature.
    pub(super) fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// The signature in base64url.
    pub(super) const fn signature_text(&self) -> &'a str {
        self.signature_text
    }

    /// What is signed: header and claims as they came.
    pub(super) const fn signed(&self) -> &'a str {
        self.signed
    }
}
