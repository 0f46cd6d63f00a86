//! For other applications: they accept the tokens of a Skriptoteket, and count like it.
//!
//! | file | what is in it |
//! |---|---|
//! | `builder` | configures the issuer and creates the verifiers |
//! | `jwks` | tokens looked at here, with the issuer's public keys |
//! | `introspection`, `introspection_response` | tokens that the issuer looks at, and what it says of them |
//! | `keys` | the issuer's public keys, as young as they have to be |
//! | `single_flight` | one question at a time |
//! | `issuer` | the questions over HTTP |
//!
//! # An actix application behind tokens
//!
//! A [`BearerAuthenticator`](crate::services::BearerAuthenticator) lets requests in and counts each, under the names and labels of the service itself. It
//! believes a verifier, and a [`ResourceServer`] makes one:
//!
//! ```
//! use std::sync::Arc;
//! use skriptoteket::{
//!     clock::SystemClock,
//!     resource_server::ResourceServer,
//!     services::{AuthMetrics, BearerAuthenticator},
//!     telemetry::Telemetry,
//! };
//!
//! # fn main() -> Result<(), skriptoteket::resource_server::ResourceServerError> {
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
//! With it as `Data<BearerAuthenticator>` a handler takes [`ServiceIdentity`](crate::http::ServiceIdentity) and is reached by services only.
//! `examples/embedded.rs` is such an application as a whole.
//!
//! | | [`JwksVerifier`] | [`IntrospectionVerifier`] |
//! |---|---|---|
//! | asks the issuer | for its keys, every few minutes | for each token, at most every half second |
//! | needs | nothing | a client id and secret of its own |
//! | sees a revoked token, a disabled service | **no**: let in until the token expires | within a second |
//! | while the issuer is away | goes on for 24 hours | lets nobody in: 503 |
//!
//! # An application with an authentication of its own
//!
//! It records by itself. No method fails, waits for anything or makes a series of a name that was not admitted:
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use skriptoteket::{
//!     clock::SystemClock,
//!     services::{AuthFailureReason, AuthMetrics, AuthOperation, RateLimitUsage, TokenStatus},
//!     telemetry::Telemetry,
//! };
//!
//! # let telemetry = Telemetry::disabled();
//! let clock = Arc::new(SystemClock::default());
//! let metrics = AuthMetrics::new(&telemetry.meter(), &telemetry.observed_meters(), clock);
//! // Each of the services that you know gets series of its own; all other names are `_other`.
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
