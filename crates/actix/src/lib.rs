//! Sessions and logins in an Actix application: the layer around every request, the session middleware, the routes of
//! the users, extractors.
//!
//! | file | what is in it |
//! |---|---|
//! | `routes` | how routes are declared; login, logout, the sessions of a user |
//! | `error`, `bearer_error` | the mapping from errors to statuses |
//! | `trust_boundary` | the trusted proxies and our own origin |
//! | `rejection` | why a request does not reach a use case |
//! | `problem` | error responses according to RFC 9457 |
//! | `middleware` | the layer around every request |
//! | `connection` | connections: limits, timeouts, and bytes that are not a request |
//! | `request_context` | what the layers share about one request |
//! | `session_store`, `cookie`, `presented` | the adapter to actix-session, its cookie, and how it is found among others |
//! | `extract` | validated extractors for handlers |
//! | `metrics` | the metrics of HTTP requests |
//! | `traces`, `untraced` | the traces of requests |
//! | `rate_limit` | the remaining limits of a service, in headers |
//! | `management` | metrics and probes |
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `registration` | the route of password changes |
//! | `services` | [`ServiceIdentity`], the extractor of services that present an access token |
//! | `telemetry` | the metrics page, traces of requests |
//! | `openapi` | descriptions of the routes for an OpenAPI document |

#[cfg(feature = "services")]
mod bearer_error;
pub mod connection;
pub mod cookie;
pub mod error;
pub mod extract;
#[cfg(feature = "telemetry")]
pub mod management;
pub mod metrics;
pub mod middleware;
mod presented;
pub mod problem;
#[cfg(feature = "services")]
pub mod rate_limit;
pub mod rejection;
pub mod request_context;
pub mod routes;
pub mod session_store;
mod traces;
pub mod trust_boundary;
#[cfg(not(feature = "telemetry"))]
mod untraced;

#[cfg(feature = "services")]
pub use bearer_error::BearerError;
pub use connection::{ConnectionLimits, Timeouts};
pub use cookie::CookieSettings;
pub use error::ApiError;
pub use extract::Principal;
#[cfg(feature = "services")]
pub use extract::{Identifying, ServiceIdentity};
#[cfg(feature = "telemetry")]
pub use management::{Management, serve_management};
pub use middleware::{Layered, RequestLayer, matched};
pub use rejection::Rejection;
pub use session_store::{SessionAdapter, session_middleware};
#[cfg(feature = "telemetry")]
pub use skriptoteket_telemetry::RequestTraces;
pub use trust_boundary::{Origin, TrustBoundary};
#[cfg(not(feature = "telemetry"))]
pub use untraced::RequestTraces;
