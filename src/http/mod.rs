//! HTTP: the implementation of the API. Handlers are thin; every rule that they apply is implemented in lower layers.
//!
//! | file | what is in it |
//! |---|---|
//! | `mod` | the route table, the public listener |
//! | `error`, `bearer_error` | the mapping from errors to statuses |
//! | `trust_boundary` | the trusted proxies and our own origin |
//! | `rejection` | why a request does not reach a use case |
//! | `problem` | error responses according to RFC 9457 |
//! | `middleware` | the layer around every request |
//! | `connection` | connections: limits, timeouts, and bytes that are not a request |
//! | `request_context` | what the layers share about one request |
//! | `session_store`, `cookie`, `presented` | the adapter to actix-session, its cookie, and how it is found among others |
//! | `extract` | validated extractors for handlers |
//! | `login`, `session`, `sessions`, `password`, `admin_sessions`, `admin_users` | one file per resource |
//! | `oauth` | the authorization server: tokens for services |
//! | `services` | endpoints for a service about itself, with its token |
//! | `admin_services`, `service_view` | the register of services |
//! | `audited` | which requests are administrative actions, and their rows in the audit trail |
//! | `admin_audit` | the audit trail |
//! | `metrics` | the metrics of HTTP requests |
//! | `rate_limit` | the remaining limits of a service, in headers |
//! | `openapi`, `schemas` | the OpenAPI document |
//! | `management` | the other listener: metrics and probes |

mod admin_audit;
mod admin_services;
mod admin_sessions;
mod admin_users;
mod audited;
mod bearer_error;
mod connection;
mod cookie;
mod error;
mod extract;
mod login;
mod management;
pub mod metrics;
mod middleware;
mod oauth;
mod openapi;
mod password;
mod presented;
mod problem;
mod rate_limit;
mod rejection;
mod request_context;
mod schemas;
mod service_view;
mod services;
mod session;
mod session_store;
mod sessions;
mod trust_boundary;

pub use bearer_error::BearerError;
pub use connection::{ConnectionLimits, Timeouts};
pub use cookie::CookieSettings;
pub use error::ApiError;
pub use extract::{Identifying, Principal, ServiceIdentity};
pub use management::{Management, serve_management};
pub use middleware::{Layered, RequestLayer, matched};
pub use rejection::Rejection;
pub use session_store::SessionAdapter;
pub use trust_boundary::{Origin, TrustBoundary};

use std::{io, net::TcpListener, sync::Arc, time::Duration};

use actix_session::SessionMiddleware;
use actix_web::{
    App, Resource, Route,
    dev::Server,
    guard::GuardContext,
    http::{Method, header::HeaderValue},
    web::{self, Data, ServiceConfig, to},
};
use ipnet::IpNet;

use session_store::session_middleware;

use crate::{
    account_lifecycle::AccountLifecycle,
    accounts::{AccountRepository, registration::Registrar},
    audit::{AdminAudit, AuditRepository, Kind},
    http::metrics::HttpMetrics,
    login::LoginService,
    services::{
        AuthMetrics, BearerAuthenticator, ClientAuthenticator, Limiter, Registry, ServiceCache,
        Tokens,
    },
    sessions::Sessions,
    telemetry::RequestTraces,
};

/// Pattern of the login route.
const LOG_IN: &str = "/api/login";

/// Pattern of the logout route.
const LOG_OUT: &str = "/api/logout";

/// The route table: method, pattern, handler. Rows with the same pattern are adjacent. The most frequent patterns come
/// first, because the router tries them in this order.
const ROUTES: &[Row] = &[
    row(Method::GET, "/api/session", || to(session::show)),
    row(Method::POST, LOG_IN, || to(login::log_in)),
    row(Method::POST, LOG_OUT, || to(login::log_out)),
    row(Method::GET, "/api/sessions", || to(sessions::list)),
    row(Method::DELETE, "/api/sessions", || to(sessions::end_all)),
    row(Method::DELETE, "/api/sessions/{id}", || to(sessions::end)),
    audited(Kind::PasswordChange, Method::POST, "/api/password", || {
        to(password::change)
    }),
    audited(Kind::AdminRead, Method::GET, "/api/admin/sessions", || {
        to(admin_sessions::list)
    }),
    audited(Kind::AdminRead, Method::GET, "/api/admin/users", || {
        to(admin_users::list)
    }),
    audited(Kind::UserCreate, Method::POST, "/api/admin/users", || {
        to(admin_users::create)
    }),
    audited(
        Kind::UserChange,
        Method::PATCH,
        "/api/admin/users/{id}",
        || to(admin_users::change),
    ),
    audited(
        Kind::UserDelete,
        Method::DELETE,
        "/api/admin/users/{id}",
        || to(admin_users::delete),
    ),
    audited(
        Kind::SessionRevoke,
        Method::DELETE,
        "/api/admin/users/{id}/sessions",
        || to(admin_sessions::end_all_of_user),
    ),
    audited(Kind::AdminRead, Method::GET, "/api/admin/services", || {
        to(admin_services::list)
    }),
    audited(
        Kind::ServiceRegister,
        Method::POST,
        "/api/admin/services",
        || to(admin_services::register),
    ),
    audited(
        Kind::AdminRead,
        Method::GET,
        "/api/admin/services/{id}",
        || to(admin_services::show),
    ),
    audited(
        Kind::ServiceChange,
        Method::PATCH,
        "/api/admin/services/{id}",
        || to(admin_services::change),
    ),
    audited(
        Kind::ServiceDelete,
        Method::DELETE,
        "/api/admin/services/{id}",
        || to(admin_services::delete),
    ),
    audited(
        Kind::ServiceRotate,
        Method::POST,
        "/api/admin/services/{id}/rotate",
        || to(admin_services::rotate),
    ),
    audited(Kind::AdminRead, Method::GET, "/api/admin/audit", || {
        to(admin_audit::list)
    }),
    row(Method::GET, "/api/openapi.json", || to(openapi::show)),
];

/// Routes for machines, in the same form. They have no session: cookies are neither read nor set.
const SERVICE_ROUTES: &[Row] = &[
    row(Method::POST, "/api/services/{id}/check", || {
        to(services::check)
    }),
    row(Method::POST, "/oauth2/introspect", || {
        to(oauth::introspection::introspect)
    }),
    row(Method::POST, "/oauth2/token", || to(oauth::token::issue)),
    row(Method::POST, "/oauth2/revoke", || {
        to(oauth::revocation::revoke)
    }),
    row(Method::POST, "/api/services/{id}/heartbeat", || {
        to(services::heartbeat)
    }),
    row(Method::GET, "/.well-known/jwks.json", || {
        to(oauth::metadata::keys)
    }),
    row(
        Method::GET,
        "/.well-known/oauth-authorization-server",
        || to(oauth::metadata::server),
    ),
];

/// A row of the route table.
struct Row {
    method: Method,
    pattern: &'static str,
    handler: fn() -> Route,
    /// The kind of administrative action that a request performs, if any.
    action: Option<Kind>,
}

const fn row(method: Method, pattern: &'static str, handler: fn() -> Route) -> Row {
    Row {
        method,
        pattern,
        handler,
        action: None,
    }
}

/// Creates a row whose requests are actions of this kind, recorded in the audit trail.
const fn audited(kind: Kind, method: Method, pattern: &'static str, handler: fn() -> Route) -> Row {
    Row {
        method,
        pattern,
        handler,
        action: Some(kind),
    }
}

/// The dependencies of the API. Created once and shared by all workers.
#[derive(Clone, Debug)]
pub struct Api {
    /// Logs users in and changes passwords.
    pub login: LoginService,
    /// The sessions.
    pub sessions: Sessions,
    /// Changes and deletes accounts.
    pub lifecycle: AccountLifecycle,
    /// The accounts.
    pub accounts: Arc<dyn AccountRepository>,
    /// Creates accounts.
    pub registrar: Registrar,
    /// Reads the audit trail.
    pub trail: Arc<dyn AuditRepository>,
    /// Records administrative actions.
    pub audit: AdminAudit,
    /// Authenticates clients.
    pub clients: ClientAuthenticator,
    /// Services, keys and revocations in memory.
    pub service_cache: ServiceCache,
    /// Service management for operators.
    pub registry: Registry,
    /// Issues, introspects and revokes access tokens.
    pub tokens: Tokens,
    /// How long clients may cache the public keys: at most as long as a new key is published before it signs.
    pub keys_kept: Duration,
    /// Authenticates requests by access token.
    pub bearer: BearerAuthenticator,
    /// Enforces the rate limits of services.
    pub limiter: Limiter,
    /// The metrics of services.
    pub auth_metrics: AuthMetrics,
    /// The metrics of requests.
    pub metrics: HttpMetrics,
    /// Decides which requests are traced.
    pub traces: RequestTraces,
    /// Attributes and key of the session cookie.
    pub cookie: CookieSettings,
    /// The origin under which browsers see the service.
    pub origin: Origin,
    /// The proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are trusted.
    pub trusted_proxies: Arc<[IpNet]>,
    /// How long one request may wait for stores, in total.
    pub wait_budget: Duration,
}

impl Api {
    /// Returns the layer that an application with [`Api::routes`] or [`Api::session_middleware`] must be wrapped in.
    #[must_use]
    pub fn layer(&self) -> RequestLayer {
        let trust_boundary =
            TrustBoundary::new(self.origin.clone(), Arc::clone(&self.trusted_proxies));
        RequestLayer::new(self.metrics.clone(), trust_boundary, self.wait_budget)
            .traced(self.traces.clone())
            .with_session_cookie(self.cookie.clone())
    }

    /// Returns the middleware that finds the session of a request, for resources outside the API. It works inside
    /// [`Api::layer`] only. Create one per worker, in the application's factory, and clone it from there.
    ///
    /// State that handlers `insert` into actix-session's `Session` is kept for users who are logged in and dropped for
    /// all other clients. `Session::purge` logs out. `Session::renew` does too: only a login, a password change and a
    /// promotion assign a new key. After a promotion, the cookie is in the response whatever the handler does.
    #[must_use]
    pub fn session_middleware(&self) -> SessionMiddleware<SessionAdapter> {
        session_middleware(self.sessions.clone(), &self.cookie)
    }

    /// Registers every route of the API.
    pub fn routes(&self, config: &mut ServiceConfig) {
        let session = self.session_middleware();
        config
            .app_data(Data::new(self.clone()))
            .app_data(Data::new(self.bearer.clone()));
        for rows in by_pattern(ROUTES) {
            if let Some(resource) = resource(rows) {
                config.service(resource.wrap(session.clone()));
            }
        }
        for rows in by_pattern(SERVICE_ROUTES) {
            if let Some(resource) = resource(rows) {
                config.service(resource);
            }
        }
    }
}

/// Groups the rows by pattern.
fn by_pattern(table: &'static [Row]) -> impl Iterator<Item = &'static [Row]> {
    table.chunk_by(|a, b| a.pattern == b.pattern)
}

/// Creates the resource for the rows of one pattern.
fn resource(rows: &'static [Row]) -> Option<Resource> {
    let pattern = rows.first()?.pattern;
    let mut resource = web::resource(pattern).guard(matched(pattern));
    for Row {
        method,
        handler,
        action,
        ..
    } in rows
    {
        // actix's own method guard would collect all methods of the resource again for every request.
        let guard = move |request: &GuardContext<'_>| serves(method, &request.head().method);
        let route = handler().guard(guard);
        resource = resource.route(match *action {
            Some(kind) => audited::route(kind, route),
            None => route,
        });
    }
    let allow = allowed(rows);
    Some(resource.default_service(to(move || {
        let allow = allow.clone();
        async move { Err::<String, _>(ApiError::from(Rejection::Method { allow })) }
    })))
}

/// Serves the API on `listener` with `workers` threads. The server runs while its future is polled; it does not handle
/// signals. A stop completes the requests in flight, for at most a second.
///
/// # Errors
///
/// If the listener cannot be used.
pub fn serve_public(
    api: Api,
    listener: TcpListener,
    workers: usize,
    limits: ConnectionLimits,
) -> io::Result<Server> {
    let layer = api.layer();
    let app = move || {
        App::new()
            .configure(|config| api.routes(config))
            .default_service(to(no_such_path))
            .wrap(layer.clone())
    };
    connection::serve(app, listener, workers, limits)
}

/// Returns whether a route of this method serves a request with method `asked`. A route for `GET` also serves `HEAD`
/// (RFC 9110, section 9.1); the server omits the body.
fn serves(route: &Method, asked: &Method) -> bool {
    route == asked || (*route == Method::GET && *asked == Method::HEAD)
}

/// Returns the `Allow` header for these rows.
fn allowed(rows: &[Row]) -> HeaderValue {
    let mut methods = Vec::new();
    for Row { method, .. } in rows {
        methods.push(method.as_str());
        if *method == Method::GET {
            methods.push(Method::HEAD.as_str());
        }
    }
    // Method names are valid header text. If they were not, the header would be empty and the status would still be
    // correct.
    HeaderValue::from_str(&methods.join(", ")).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The response to a path that matches no row.
async fn no_such_path() -> Result<String, ApiError> {
    Err(Rejection::NotFound.into())
}
