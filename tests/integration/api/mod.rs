//! The HTTP contract, tested against a running service: both listeners, the embedded store, real requests.
//!
//! Each response that a test receives through [`support::Browser`] is also checked against the OpenAPI document and
//! against the rules that apply to all responses.

mod admin_services;
mod admin_sessions;
mod admin_users;
mod assertions;
mod audit;
mod bearer;
mod check;
mod cookies;
mod library;
mod login;
mod management;
mod oauth;
mod oauth_clients;
mod oauth_gone;
mod outage;
mod password;
mod promotion;
mod promotion_library;
mod requests;
mod session;
mod sessions;
pub(crate) mod support;
mod traces;
