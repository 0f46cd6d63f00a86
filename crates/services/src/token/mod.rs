//! Access tokens: JWTs in the profile of RFC 9068, strictly checked.
//!
//! | file | what is in it |
//! |---|---|
//! | `parser` | the strict parser: three parts, one header, no duplicate members |
//! | `json` | JSON objects without duplicate members |
//! | `claims` | the claims of a token, and their checks: issuer, audience, time |
//! | `jwk` | public keys: parsed from and written as JWKs |
//! | `verification_keys` | the keys that verify tokens |
//!
//! A token is checked in this order, and the first error is the result: its form (`malformed`), the signature by the
//! key that its `kid` names and with the algorithm of *that key* (`bad_signature`), the form of its claims
//! (`malformed`), their time (`expired_token`), issuer and audience (`wrong_audience`). So nothing unverified is
//! trusted, not even the name of the service.

mod claims;
mod json;
mod jwk;
mod parser;
mod verification_keys;

#[cfg(test)]
pub(super) mod tests;

pub(super) use claims::{Audiences, timestamp};
pub use claims::{Claims, Expected};
pub(super) use json::object;
pub(super) use jwk::{InvalidJwk, PublicJwk, PublicKey, encoded};
pub(super) use parser::Parts;
pub use verification_keys::{InvalidJwks, TokenRejected, VerificationKeys};

/// The maximum size of a token, in bytes. Our tokens have some hundred bytes; a header line has no room for more.
pub const MAX_TOKEN: usize = 8 * 1024;
