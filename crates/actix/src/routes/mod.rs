//! Routes: how they are declared, and those of the users themselves.
//!
//! | file | what is in it |
//! |---|---|
//! | `mod` | rows of route tables; [`login_routes`] |
//! | `login` | log in, log out |
//! | `session` | the current session |
//! | `sessions` | all sessions of the user |
//! | `password` | password changes, with the feature `registration`; not among [`login_routes`] |

#![expect(
    clippy::missing_errors_doc,
    reason = "the documentation of a handler is its description in the OpenAPI document"
)]

pub mod login;
#[cfg(feature = "registration")]
pub mod password;
pub mod session;
pub mod sessions;

use std::future::{Ready, ready};

use actix_web::{
    Resource, Route,
    guard::GuardContext,
    http::{Method, header::HeaderValue},
    web::{self, Data, ServiceConfig, to},
};
use skriptoteket_login::login::LoginService;
use skriptoteket_sessions::Sessions;

use crate::{
    cookie::CookieSettings, error::ApiError, middleware::matched_for, rejection::Rejection,
    request_context::Purpose, session_store::session_middleware,
};

/// The dependencies of [`login_routes`]. Created once and shared by all workers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LoginApi {
    /// Logs users in and changes passwords.
    pub login: LoginService,
    /// The sessions.
    pub sessions: Sessions,
    /// Attributes and key of the session cookie.
    pub cookie: CookieSettings,
}

/// A row of a route table: method, pattern, handler.
#[derive(Clone, Debug)]
pub struct Row {
    /// The method. A row for `GET` also serves `HEAD`.
    pub method: Method,
    /// The pattern of the path, as in [`web::resource`].
    pub pattern: &'static str,
    /// Creates the route.
    pub handler: fn() -> Route,
    purpose: Purpose,
    page: bool,
}

impl Row {
    /// Creates a row.
    #[must_use]
    pub const fn new(method: Method, pattern: &'static str, handler: fn() -> Route) -> Self {
        Self {
            method,
            pattern,
            handler,
            purpose: Purpose::Other,
            page: false,
        }
    }

    /// Marks the route as that of a page for browsers: its errors are pages, if the layer has
    /// [error pages](crate::RequestLayer::with_error_pages). All rows with the same pattern must agree.
    #[must_use]
    pub const fn of_page(mut self) -> Self {
        self.page = true;
        self
    }

    /// Marks the route as a login: it works without a session store that responds. All rows with the same pattern must
    /// agree.
    #[must_use]
    pub const fn of_login(self) -> Self {
        self.with_purpose(Purpose::Login)
    }

    /// Marks the route as a logout. All rows with the same pattern must agree.
    #[must_use]
    pub const fn of_logout(self) -> Self {
        self.with_purpose(Purpose::Logout)
    }

    const fn with_purpose(mut self, purpose: Purpose) -> Self {
        self.purpose = purpose;
        self
    }
}

/// Returns the routes of the users themselves under `prefix`, for example `/api`: `session`, `login`, `logout`,
/// `sessions`, `sessions/{id}`. The handlers take [`Data`] of [`LoginApi`].
///
/// The patterns are never freed: call it once for an application, not for each worker.
#[must_use]
pub fn login_routes(prefix: &str) -> Vec<Row> {
    let at = |path: &str| -> &'static str { Box::leak(format!("{prefix}/{path}").into()) };
    let own = at("sessions");
    // The most frequent first, because the router tries them in this order.
    vec![
        Row::new(Method::GET, at("session"), || to(session::show)),
        Row::new(Method::POST, at("login"), || to(login::log_in)).of_login(),
        Row::new(Method::POST, at("logout"), || to(login::log_out)).of_logout(),
        Row::new(Method::GET, own, || to(sessions::list)),
        Row::new(Method::DELETE, own, || to(sessions::end_all)),
        Row::new(Method::DELETE, at("sessions/{id}"), || to(sessions::end)),
    ]
}

/// Registers rows whose requests have a session. Rows with the same pattern must be adjacent.
pub fn register_with_session(config: &mut ServiceConfig, api: &LoginApi, rows: &[Row]) {
    let session = session_middleware(api.sessions.clone(), &api.cookie);
    for rows in by_pattern(rows) {
        if let Some(resource) = resource(rows) {
            config.service(resource.wrap(session.clone()));
        }
    }
}

/// Registers rows whose requests have no session: cookies are neither read nor set. Rows with the same pattern must be
/// adjacent.
pub fn register(config: &mut ServiceConfig, rows: &[Row]) {
    for rows in by_pattern(rows) {
        if let Some(resource) = resource(rows) {
            config.service(resource);
        }
    }
}

/// Registers rows whose handlers take [`Data`] of the [`LoginApi`] in `api`, whatever other routes of the application take.
#[cfg(feature = "builder")]
pub(crate) fn register_with(config: &mut ServiceConfig, rows: &[Row], api: &Data<LoginApi>) {
    for rows in by_pattern(rows) {
        if let Some(resource) = resource(rows) {
            config.service(resource.app_data(api.clone()));
        }
    }
}

/// Registers the dependencies of [`login_routes`].
pub fn register_api(config: &mut ServiceConfig, api: &LoginApi) {
    config.app_data(Data::new(api.clone()));
}

/// Groups the rows by pattern.
fn by_pattern(table: &[Row]) -> impl Iterator<Item = &[Row]> {
    table.chunk_by(|a, b| a.pattern == b.pattern)
}

/// Creates the resource for the rows of one pattern.
fn resource(rows: &[Row]) -> Option<Resource> {
    let Row {
        pattern,
        purpose,
        page,
        ..
    } = *rows.first()?;
    let mut resource = web::resource(pattern).guard(matched_for(pattern, purpose, page));
    for Row {
        method, handler, ..
    } in rows
    {
        let method = method.clone();
        // actix's own method guard would collect all methods of the resource again for every request.
        let guard = move |request: &GuardContext<'_>| serves(&method, &request.head().method);
        resource = resource.route(handler().guard(guard));
    }
    let allow = allowed(rows);
    Some(resource.default_service(to(move || {
        let allow = allow.clone();
        async move { Err::<String, _>(ApiError::from(Rejection::Method { allow })) }
    })))
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
///
/// # Errors
///
/// Always 404.
pub fn no_such_path() -> Ready<Result<String, ApiError>> {
    ready(Err(Rejection::NotFound.into()))
}
