//! Public keys, as JSON Web Keys (RFC 7517, RFC 7518, RFC 8037).

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::Parts;

/// The members of a JWK that belong to the private part, for all key types.
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
/// The size of RSA keys, in bits. RFC 7518 requires the lower bound; the upper bound limits the cost of a check.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// A public key that is ready to verify signatures.
#[derive(Clone, Debug)]
pub(crate) struct PublicKey {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Why a JWK cannot be used. The text quotes nothing from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidJwk {
    /// It is not an object.
    #[error("it is not a JSON object")]
    NoObject,
    /// It contains the private part.
    #[error(
        "it has members of a private key (for example d or k): send the public key only, and generate a new pair"
    )]
    Private,
    /// It has another use, or a type that is not accepted.
    #[error(
        "it is none of: kty OKP with crv Ed25519 (alg EdDSA), kty EC with crv P-256 (alg ES256), kty RSA (alg RS256), for use sig"
    )]
    Kind,
    /// It is not a valid key.
    #[error(
        "its values are not a valid key: x (and y) have 32 bytes and are on the curve, n has 2048 to 4096 bits, e is odd and from 3 to 4294967295, all in base64url without padding"
    )]
    Unsound,
    /// Its id is not text, or is too long.
    #[error("its kid is not a string of at most 256 bytes")]
    Id,
}

impl PublicKey {
    /// The maximum length of a `kid`, in bytes.
    const MAX_ID: usize = 256;

    /// Parses a JWK. Its key must be able to verify signatures, with an accepted algorithm.
    pub(crate) fn read(jwk: &Value) -> Result<Self, InvalidJwk> {
        let jwk = jwk.as_object().ok_or(InvalidJwk::NoObject)?;
        if PRIVATE_MEMBERS.iter().any(|name| jwk.contains_key(*name)) {
            return Err(InvalidJwk::Private);
        }
        let id = match jwk.get("kid") {
            None => None,
            Some(Value::String(id)) if id.len() <= Self::MAX_ID => Some(id.clone()),
            Some(_) => return Err(InvalidJwk::Id),
        };
        let text = |name: &str| jwk.get(name).map(|value| value.as_str().unwrap_or(""));
        let names: &[&str] = match (text("kty"), text("crv")) {
            // RFC 9864 names the algorithm after its curve.
            (Some("OKP"), Some("Ed25519")) => &["EdDSA", "Ed25519"],
            (Some("EC"), Some("P-256")) => &["ES256"],
            (Some("RSA"), _) => &["RS256"],
            _ => return Err(InvalidJwk::Kind),
        };
        let to_verify = match jwk.get("key_ops") {
            None => true,
            Some(Value::Array(operations)) => operations.iter().any(|it| it == "verify"),
            Some(_) => false,
        };
        let to_sign = matches!(text("use"), None | Some("sig"));
        if !to_verify || !to_sign || text("alg").is_some_and(|alg| !names.contains(&alg)) {
            return Err(InvalidJwk::Kind);
        }
        let (algorithm, key) = match names {
            ["ES256"] => (Algorithm::ES256, p256_key(jwk)),
            ["RS256"] => (Algorithm::RS256, rsa_key(jwk)),
            _ => (Algorithm::EdDSA, ed25519_key(jwk)),
        };
        let key = key.ok_or(InvalidJwk::Unsound)?;
        Ok(Self { id, algorithm, key })
    }

    /// Returns its `kid`.
    pub(crate) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Returns its algorithm.
    pub(super) const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns whether `name` is its algorithm in a JOSE header.
    pub(crate) fn signs_by(&self, name: &str) -> bool {
        match self.algorithm {
            Algorithm::ES256 => name == "ES256",
            Algorithm::RS256 => name == "RS256",
            _ => matches!(name, "EdDSA" | "Ed25519"),
        }
    }

    /// Returns whether its private part signed `token`, with the key's own algorithm whatever the token names.
    pub(crate) fn has_signed(&self, token: &Parts<'_>) -> bool {
        let signed = token.signed().as_bytes();
        // Verification returns an error if the signature or the key has the wrong form: not signed either.
        jsonwebtoken::crypto::verify(token.signature_text(), signed, &self.key, self.algorithm)
            .unwrap_or(false)
    }
}

fn bytes(jwk: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    let text = jwk.get(name)?.as_str()?;
    BASE64_URL_SAFE_NO_PAD.decode(text).ok()
}

fn ed25519_key(jwk: &Map<String, Value>) -> Option<DecodingKey> {
    let x: [u8; 32] = bytes(jwk, "x")?.try_into().ok()?;
    let point = ed25519_dalek::VerifyingKey::from_bytes(&x).ok()?;
    // A key of small order has signatures that are valid for every message.
    (!point.is_weak()).then(|| DecodingKey::from_ed_der(&x))
}

fn p256_key(jwk: &Map<String, Value>) -> Option<DecodingKey> {
    let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
    if x.len() != 32 || y.len() != 32 {
        return None;
    }
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    p256::ecdsa::VerifyingKey::from_sec1_bytes(&point).ok()?;
    Some(DecodingKey::from_ec_der(&point))
}

fn rsa_key(jwk: &Map<String, Value>) -> Option<DecodingKey> {
    let (n, e) = (bytes(jwk, "n")?, bytes(jwk, "e")?);
    let bits = n.len() * 8 - n.first()?.leading_zeros() as usize;
    let odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
    let minimal = *n.first()? != 0 && *e.first()? != 0;
    let exponent = e.iter().try_fold(0_u32, |sum, byte| {
        sum.checked_mul(256)?.checked_add(u32::from(*byte))
    })?;
    let sound = minimal && RSA_BITS.contains(&bits) && odd(&n) && odd(&e) && exponent >= 3;
    sound.then(|| DecodingKey::from_rsa_raw_components(&n, &e))
}

/// A public key to publish.
#[derive(Serialize)]
#[serde(tag = "kty")]
pub(crate) enum PublicJwk {
    /// Ed25519.
    #[serde(rename = "OKP")]
    Ed25519 {
        /// The name of the curve.
        crv: &'static str,
        /// The point.
        x: String,
    },
    /// P-256.
    #[serde(rename = "EC")]
    P256 {
        /// The name of the curve.
        crv: &'static str,
        /// One coordinate.
        x: String,
        /// The other.
        y: String,
    },
}

impl PublicJwk {
    /// Returns the thumbprint (RFC 7638): the SHA-256 of the required members, in the order of their names.
    pub(crate) fn thumbprint(&self) -> String {
        // The values are base64url, so nothing has to be escaped.
        let canonical = match self {
            Self::Ed25519 { crv, x } => format!(r#"{{"crv":"{crv}","kty":"OKP","x":"{x}"}}"#),
            Self::P256 { crv, x, y } => {
                format!(r#"{{"crv":"{crv}","kty":"EC","x":"{x}","y":"{y}"}}"#)
            }
        };
        encoded(&Sha256::digest(canonical))
    }
}

/// Encodes in base64url without padding.
pub(crate) fn encoded(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
