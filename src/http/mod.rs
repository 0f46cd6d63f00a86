//! HTTP: the implementation of the API. Handlers are thin; every rule that they apply is implemented in lower layers.
//!
//! The layer around requests, sessions, extractors and the routes of the users themselves are in `crates/actix`.
//!
//! | file | what is in it |
//! |---|---|
//! | `mod` | the route table, the public listener |
//! | `admin_sessions`, `admin_users` | one file per resource |
//! | `oauth` | the authorization server: tokens for services |
//! | `services` | endpoints for a service about itself, with its token |
//! | `admin_services`, `service_view` | the register of services |
//! | `audited` | which requests are administrative actions, and their rows in the audit trail |
//! | `admin_audit` | the audit trail |
//! | `nullable` | members of changes that may be omitted or null |
//! | `urlencoded` | forms |
//! | `openapi`, `openapi_responses`, `schemas` | the OpenAPI document; what its responses have in common; schemas |

mod admin_audit;
mod admin_services;
mod admin_sessions;
mod admin_users;
pub(crate) mod audited;
mod nullable;
mod oauth;
mod openapi;
mod openapi_responses;
mod schemas;
mod service_view;
mod services;
pub(crate) mod urlencoded;

pub use skriptoteket_actix::{
    ApiError, BearerError, ConnectionLimits, CookieSettings, Identifying, Layered, Management,
    Origin, Principal, Readiness, Rejection, RequestLayer, ServiceIdentity, SessionAdapter,
    Timeouts, TrustBoundary, matched, metrics, serve_management,
};

use std::{
    io,
    net::TcpListener,
    sync::{Arc, LazyLock},
    time::Duration,
};

use actix_session::SessionMiddleware;
use actix_web::{
    App,
    dev::Server,
    http::Method,
    web::{Data, ServiceConfig, to},
};
use ipnet::IpNet;
use skriptoteket_actix::{
    RequestTraces, connection, cookie, error, extract, problem, rate_limit, rejection,
    request_context,
    routes::{
        LoginApi, Row, login, login_routes, no_such_path, password, register, register_api,
        register_with_session, session, sessions,
    },
    session_middleware,
};

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
};

/// The routes of the users themselves.
static USER_ROUTES: LazyLock<Vec<Row>> = LazyLock::new(|| login_routes("/api"));

/// The routes of operators, password changes, and the OpenAPI document: method, pattern, handler. Rows with the same pattern are adjacent.
const ROUTES: &[Row] = &[
    Row::new(Method::POST, "/api/password", || {
        audited::route(Kind::PasswordChange, to(password::change))
    }),
    Row::new(Method::GET, "/api/admin/sessions", || {
        audited::route(Kind::AdminRead, to(admin_sessions::list))
    }),
    Row::new(Method::GET, "/api/admin/users", || {
        audited::route(Kind::AdminRead, to(admin_users::list))
    }),
    Row::new(Method::POST, "/api/admin/users", || {
        audited::route(Kind::UserCreate, to(admin_users::create))
    }),
    Row::new(Method::PATCH, "/api/admin/users/{id}", || {
        audited::route(Kind::UserChange, to(admin_users::change))
    }),
    Row::new(Method::DELETE, "/api/admin/users/{id}", || {
        audited::route(Kind::UserDelete, to(admin_users::delete))
    }),
    Row::new(Method::DELETE, "/api/admin/users/{id}/sessions", || {
        audited::route(Kind::SessionRevoke, to(admin_sessions::end_all_of_user))
    }),
    Row::new(Method::GET, "/api/admin/services", || {
        audited::route(Kind::AdminRead, to(admin_services::list))
    }),
    Row::new(Method::POST, "/api/admin/services", || {
        audited::route(Kind::ServiceRegister, to(admin_services::register))
    }),
    Row::new(Method::GET, "/api/admin/services/{id}", || {
        audited::route(Kind::AdminRead, to(admin_services::show))
    }),
    Row::new(Method::PATCH, "/api/admin/services/{id}", || {
        audited::route(Kind::ServiceChange, to(admin_services::change))
    }),
    Row::new(Method::DELETE, "/api/admin/services/{id}", || {
        audited::route(Kind::ServiceDelete, to(admin_services::delete))
    }),
    Row::new(Method::POST, "/api/admin/services/{id}/rotate", || {
        audited::route(Kind::ServiceRotate, to(admin_services::rotate))
    }),
    Row::new(Method::GET, "/api/admin/audit", || {
        audited::route(Kind::AdminRead, to(admin_audit::list))
    }),
    Row::new(Method::GET, "/api/openapi.json", || to(openapi::show)),
];

/// Routes for machines, in the same form. They have no session: cookies are neither read nor set.
const SERVICE_ROUTES: &[Row] = &[
    Row::new(Method::POST, "/api/services/{id}/check", || {
        to(services::check)
    }),
    Row::new(Method::POST, "/oauth2/introspect", || {
        to(oauth::introspection::introspect)
    }),
    Row::new(Method::POST, "/oauth2/token", || to(oauth::token::issue)),
    Row::new(Method::POST, "/oauth2/revoke", || {
        to(oauth::revocation::revoke)
    }),
    Row::new(Method::POST, "/api/services/{id}/heartbeat", || {
        to(services::heartbeat)
    }),
    Row::new(Method::GET, "/.well-known/jwks.json", || {
        to(oauth::metadata::keys)
    }),
    Row::new(
        Method::GET,
        "/.well-known/oauth-authorization-server",
        || to(oauth::metadata::server),
    ),
];

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

    /// Returns what the routes of the users themselves depend on.
    #[must_use]
    pub fn login_api(&self) -> LoginApi {
        LoginApi {
            login: self.login.clone(),
            sessions: self.sessions.clone(),
            cookie: self.cookie.clone(),
        }
    }

    /// Registers every route of the API.
    pub fn routes(&self, config: &mut ServiceConfig) {
        let users = self.login_api();
        config
            .app_data(Data::new(self.clone()))
            .app_data(Data::new(self.bearer.clone()));
        register_api(config, &users);
        register_with_session(config, &users, &USER_ROUTES);
        register_with_session(config, &users, ROUTES);
        register(config, SERVICE_ROUTES);
    }
}

/// Serves the API and `more` routes on `listener` with `workers` threads. `layer` is [`Api::layer`]. The server runs while its future is polled; it does not handle
/// signals. A stop completes the requests in flight, for at most a second.
///
/// # Errors
///
/// If the listener cannot be used.
pub fn serve_public(
    api: Api,
    more: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
    layer: RequestLayer,
    listener: TcpListener,
    workers: usize,
    limits: ConnectionLimits,
) -> io::Result<Server> {
    let app = move || {
        App::new()
            .configure(|config| api.routes(config))
            .configure(more.clone())
            .default_service(to(no_such_path))
            .wrap(layer.clone())
    };
    connection::serve(app, listener, workers, limits)
}
