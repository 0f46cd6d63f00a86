//! Sessions and logins in an Actix application: the layer around every request, the session middleware, the routes of
//! the users, extractors.
//!
//! | file | what is in it |
//! |---|---|
//! | `application` | sessions and logins as a part of an application: [`Skriptoteket::builder`] |
//! | `routes` | how routes are declared; login, logout, the sessions of a user |
//! | `error`, `bearer_error` | the mapping from errors to statuses |
//! | `trust_boundary` | the trusted proxies and our own origin |
//! | `rejection` | why a request does not reach a use case |
//! | `problem` | error responses according to RFC 9457 |
//! | `middleware`, `middleware/` | the layer around every request; its responses and spans |
//! | `connection` | connections: limits, timeouts, and bytes that are not a request |
//! | `request_context` | what the layers share about one request |
//! | `session_store`, `cookie`, `presented` | the adapter to actix-session, its cookie, and how it is found among others |
//! | `response_headers`, `patterns` | headers of responses; patterns of routes as labels |
//! | `extract` | validated extractors for handlers |
//! | `metrics` | the metrics of HTTP requests |
//! | `traces`, `untraced` | the traces of requests |
//! | `rate_limit` | the remaining limits of a service, in headers |
//! | `management`, `readiness` | metrics and probes |
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `builder` (default) | [`Skriptoteket::builder`] |
//! | `registration` | the route of password changes |
//! | `services` | [`ServiceIdentity`], the extractor of services that present an access token |
//! | `tokens` | `Builder::tokens_of`: accepts the access tokens of a Skriptoteket elsewhere |
//! | `telemetry` | the metrics page, exports of metrics by OTLP over HTTP |
//! | `grpc`, `gzip` | OTLP over gRPC; compressed exports |
//! | `traces` | traces of requests, for a subscriber of `tracing` that exports spans |
//! | `tls` | TLS connections to Redis |
//! | `openapi` | descriptions of the routes for an OpenAPI document |

pub mod application;
#[cfg(feature = "services")]
mod bearer_error;
pub mod connection;
pub mod cookie;
pub mod error;
mod error_pages;
pub mod extract;
#[cfg(feature = "telemetry")]
pub mod management;
pub mod metrics;
pub mod middleware;
mod patterns;
mod presented;
pub mod problem;
#[cfg(feature = "services")]
pub mod rate_limit;
#[cfg(any(feature = "builder", feature = "telemetry"))]
mod readiness;
pub mod rejection;
pub mod request_context;
mod response_headers;
pub mod routes;
pub mod session_store;
mod traces;
pub mod trust_boundary;
#[cfg(not(feature = "traces"))]
mod untraced;

#[cfg(feature = "builder")]
pub use application::{BuildError, Builder, SessionLayer, Skriptoteket};
#[cfg(feature = "services")]
pub use bearer_error::BearerError;
pub use connection::{ConnectionLimits, Timeouts};
pub use cookie::CookieSettings;
pub use error::ApiError;
pub use error_pages::{ErrorPages, PageRequest, preferred_languages};
pub use extract::Principal;
#[cfg(feature = "services")]
pub use extract::{Identifying, ServiceIdentity};
#[cfg(feature = "telemetry")]
pub use management::{Management, serve_management};
pub use middleware::{Layered, RequestLayer, matched};
#[cfg(any(feature = "builder", feature = "telemetry"))]
pub use readiness::Readiness;
pub use rejection::Rejection;
pub use session_store::{SessionAdapter, session_middleware};
pub use skriptoteket_core::error::Cause;
pub use skriptoteket_login::accounts::{
    Accounts, ApplicationAccount, Role, UserId, Username,
    password::{HashingPolicy, hash_blocking},
};
#[cfg(feature = "traces")]
pub use skriptoteket_telemetry::RequestTraces;
pub use trust_boundary::{Origin, TrustBoundary};
#[cfg(not(feature = "traces"))]
pub use untraced::RequestTraces;

/// The metrics of an application: sessions, logins, store operations and requests, and those of services with the
/// feature `services`.
#[cfg(feature = "builder")]
pub const CATALOGUE: skriptoteket_core::metric::Catalogue = &[
    skriptoteket_sessions::metrics::METRICS,
    skriptoteket_login::login::metrics::METRICS,
    skriptoteket_login::accounts::metrics::METRICS,
    #[cfg(feature = "services")]
    skriptoteket_services::metrics::METRICS,
    skriptoteket_store::metrics::METRICS,
    metrics::METRICS,
];
