//! For other applications: accept the tokens of a Skriptoteket, and record the same metrics.
//!
//! | file | what is in it |
//! |---|---|
//! | `builder` | configures the issuer and creates the verifiers |
//! | `jwks` | verifies tokens locally, with the issuer's public keys |
//! | `introspection`, `introspection_response` | verifies tokens by asking the issuer |
//! | `keys` | the issuer's public keys, kept as current as necessary |
//! | `single_flight` | shares one request among concurrent callers |
//! | `issuer` | HTTP requests to the issuer |
//!
//! # An Actix application that accepts tokens
//!
//! A [`BearerAuthenticator`](skriptoteket_services::BearerAuthenticator) authenticates requests and counts each, with the
//! metric names and labels of the service itself. It uses a verifier, which a [`ResourceServer`] creates:
//!
//! ```
//! use std::sync::Arc;
//! use skriptoteket_core::clock::SystemClock;
//! use skriptoteket_resource_server::ResourceServer;
//! use skriptoteket_services::{AuthMetrics, BearerAuthenticator};
//! use skriptoteket_telemetry::Telemetry;
//!
//! # fn main() -> Result<(), skriptoteket_resource_server::ResourceServerError> {
//! # let telemetry = Telemetry::disabled();
//! let clock = Arc::new(SystemClock::default());
//! let metrics = AuthMetrics::new(&telemetry.meter(), &telemetry.observed_meters(), clock);
//! let verifier = ResourceServer::of("https://login.example.org", metrics.clone())
//!     .audience("https://api.example.org")
//!     .verify_locally()?;
//! let bearer = BearerAuthenticator::new(Arc::new(verifier), metrics);
//! # Ok(())
//! # }
//! ```
//!
//! With it as `Data<BearerAuthenticator>`, a handler that takes `ServiceIdentity` can
//! be called by services only. `examples/embedded.rs` is a complete application.
//!
//! | | [`JwksVerifier`] | [`IntrospectionVerifier`] |
//! |---|---|---|
//! | sends requests to the issuer | for its keys, every few minutes | for each token, at most every half second |
//! | requires | nothing | its own client id and secret |
//! | detects a revoked token, a disabled service | **no**: accepted until the token expires | within a second |
//! | while the issuer is unavailable | continues for 24 hours | rejects all requests: 503 |
//!
//! # An application with its own authentication
//!
//! It records its own results. No method fails, blocks, or creates a series for a name that was not admitted:
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use skriptoteket_core::clock::SystemClock;
//! use skriptoteket_services::{AuthFailureReason, AuthMetrics, AuthOperation, RateLimitUsage, TokenStatus};
//! use skriptoteket_telemetry::Telemetry;
//!
//! # let telemetry = Telemetry::disabled();
//! let clock = Arc::new(SystemClock::default());
//! let metrics = AuthMetrics::new(&telemetry.meter(), &telemetry.observed_meters(), clock);
//! // Each service that you know gets its own series; all other names are recorded as `_other`.
//! metrics.admit("orders");
//!
//! let start = metrics.start();
//! // … your authentication …
//! metrics.record_token_verification("orders", TokenStatus::Valid);
//! metrics.record_successful_auth("orders");
//! metrics.record_auth_latency("orders", AuthOperation::TokenVerification, start);
//!
//! // Or, if it failed:
//! metrics.record_token_verification("orders", TokenStatus::ExpiredToken);
//! metrics.record_failed_auth("orders", AuthFailureReason::ExpiredToken);
//!
//! metrics.update_rate_limit_usage("orders", RateLimitUsage {
//!     requests: 40,
//!     allowed: 200,
//!     recovers_in: Duration::from_millis(400),
//!     daily: None,
//! });
//! ```

mod builder;
mod error;
mod introspection;
mod introspection_response;
mod issuer;
mod jwks;
mod keys;
mod settings;
mod single_flight;

pub use builder::ResourceServer;
pub use error::ResourceServerError;
pub use introspection::IntrospectionVerifier;
pub use jwks::JwksVerifier;
