//! Another application that accepts the tokens of a running service: both verifiers, real HTTP, and the exported metrics.

#![expect(clippy::unwrap_used, reason = "helpers of a test crate fail loudly")]

mod application;
mod building;
mod changing;
#[path = "../../examples/embedded.rs"]
#[expect(dead_code, reason = "its `main` is not called here")]
mod embedded;
mod equal;
mod hostile;
mod introspected;
mod issuer;
mod local;
mod stub;
