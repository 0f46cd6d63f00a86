//! Access tokens: JWTs as RFC 9068 has them, and nothing that is almost one.
//!
//! | file | what is in it |
//! |---|---|
//! | `parser` | the strict front: three parts, one header, no member twice |
//! | `json` | JSON objects whose members have different names |
//! | `claims` | what a token says, and whether it says it for us and now |
//! | `jwk` | public keys: read from a JWK, written as one |
//! | `verification_keys` | the keys that tokens are checked with |
//!
//! A token is looked at in this order, and the first fault is the answer: its form (`malformed`), the signature by the key
//! that its `kid` names and by the algorithm of *that key* (`bad_signature`), the form of its claims (`malformed`), their time
//! (`expired_token`), issuer and audience (`wrong_audience`). So nothing that a stranger wrote is believed, not even the
//! service's name.

mod claims;
mod json;
mod jwk;
mod parser;
mod verification_keys;

#[cfg(test)]
pub(super) mod tests;

use std::time::Duration;

pub(super) use claims::{Audiences, timestamp};
pub use claims::{Claims, Expected};
pub(super) use json::object;
pub(super) use jwk::{InvalidJwk, PublicJwk, PublicKey, encoded};
pub(super) use parser::Parts;
pub use verification_keys::{InvalidJwks, TokenRejected, VerificationKeys};

/// The largest token, in bytes. Ours have some hundred; a header line has no room for more.
pub const MAX_TOKEN: usize = 8 * 1024;

/// How far the clocks of those who make and who read a token may be apart.
pub const SKEW: Duration = Duration::from_mins(1);
