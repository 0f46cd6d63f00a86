//! The HTTP contract, spoken to a running service: both listeners, the embedded store, real requests.
//!
//! Every answer that a test gets through [`support::Browser`] is also held against the OpenAPI document and against the
//! rules that all answers keep.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of a test crate fail loudly"
)]

mod admin_sessions;
mod admin_users;
mod library;
mod login;
mod management;
mod outage;
mod password;
mod requests;
mod session;
mod sessions;
mod support;
mod traces;
