//! Another application that accepts the tokens of a running service: both verifiers, real HTTP, and the exported metrics.

mod application;
mod building;
mod changing;
// Compiled here, because Cargo builds no examples for a run of one test binary (`--test integration`), and so that the
// example can listen on free ports.
#[path = "../../../examples/embedded.rs"]
#[expect(dead_code, reason = "its `main` is not called here")]
mod embedded;
mod equal;
mod hostile;
mod introspected;
mod issuer;
mod local;
mod stub;
