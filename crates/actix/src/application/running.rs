//! What an application uses while it runs, and its shutdown.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use actix_web::{
    Resource, guard,
    web::{self, Data, ServiceConfig},
};
use skriptoteket_core::{error::StoreError, user::UserId};
use skriptoteket_redis::RedisStore;
use skriptoteket_sessions::Sessions;
use tokio::task::JoinHandle;

#[cfg(feature = "telemetry")]
use super::meters::Meters;
use super::{SessionLayer, SessionServices, SessionStores, own_runtime::OwnRuntime};
#[cfg(feature = "telemetry")]
use crate::management::PageOfApplication;
use crate::{
    middleware::RequestLayer,
    request_context::LoginPaths,
    routes::{LoginApi, Row, login_routes, register_with},
    session_store::session_middleware,
};

/// Maximum time of the last count and of the last export at a shutdown.
const LAST_TASKS: Duration = Duration::from_secs(2);

/// Everything that [`Builder::start`](super::Builder::start) has started.
pub(super) struct Parts {
    pub(super) api: LoginApi,
    pub(super) stores: SessionStores,
    pub(super) sessions: SessionServices,
    pub(super) requests: RequestLayer,
    #[cfg(feature = "telemetry")]
    pub(super) meters: Meters,
    #[cfg(feature = "telemetry")]
    pub(super) metrics_token: Option<secrecy::SecretString>,
    pub(super) store: RedisStore,
    pub(super) tasks: Vec<JoinHandle<()>>,
    pub(super) timeout: Duration,
    #[cfg(feature = "tokens")]
    pub(super) bearer: Option<skriptoteket_services::BearerAuthenticator>,
}

/// Sessions and logins of an application, started by [`Builder::start`](super::Builder::start). Cheap to clone.
///
/// When the last clone is dropped, the background tasks end. [`Skriptoteket::shutdown`] also exports the
/// last counts.
#[derive(Clone)]
pub struct Skriptoteket(Arc<Inner>);

struct Inner {
    parts: Parts,
    login_paths: LoginPaths,
    /// Telemetry, background tasks and logins whose client is gone run here, so that they work under any runtime of
    /// the application.
    runtime: OwnRuntime,
}

impl Drop for Inner {
    fn drop(&mut self) {
        for task in &self.parts.tasks {
            task.abort();
        }
    }
}

impl fmt::Debug for Skriptoteket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Skriptoteket")
    }
}

impl Skriptoteket {
    pub(super) fn new(parts: Parts, runtime: OwnRuntime) -> Self {
        Self(Arc::new(Inner {
            parts,
            login_paths: LoginPaths::default(),
            runtime,
        }))
    }

    /// Returns the middleware for [`App::wrap`](actix_web::App::wrap). Call it in the factory of the application.
    ///
    /// State that handlers `insert` into actix-session's `Session` is kept for users who are logged in and dropped for
    /// all other clients. `Session::purge` logs the user out, and so does `Session::renew`: the key of a session is renewed
    /// here, at a login and after a promotion.
    ///
    /// While Redis does not respond, handlers that take a [`Principal`](crate::Principal) are answered with 503; all
    /// others run, with an empty `Session`.
    #[must_use]
    pub fn sessions(&self) -> SessionLayer {
        let parts = &self.0.parts;
        let requests = parts.requests.clone();
        SessionLayer::new(
            requests.with_login_paths(self.0.login_paths.clone()),
            session_middleware(parts.api.sessions.clone(), &parts.api.cookie),
        )
    }

    /// Returns the routes of the users themselves, for [`App::configure`](actix_web::App::configure): `GET session`,
    /// `POST login`, `POST logout`, `GET` and `DELETE sessions`, `DELETE sessions/{id}`, all under `prefix`, for example
    /// `/api`. Call it on the application and not in a scope: the prefix is the whole path before them. The bodies are
    /// those of the server's API.
    ///
    /// With [`tokens_of`](super::Builder::tokens_of), all routes of the application can take `ServiceIdentity`, from the one
    /// issuer whose routes were configured last.
    pub fn login_routes(&self, prefix: &'static str) -> impl FnOnce(&mut ServiceConfig) + use<> {
        let this = self.clone();
        move |config| {
            let prefix = normal(prefix);
            this.0.login_paths.add(prefix);
            let api = Data::new(this.0.parts.api.clone());
            #[cfg(feature = "tokens")]
            if let Some(bearer) = &this.0.parts.bearer {
                config.app_data(Data::new(bearer.clone()));
            }
            register_with(config, rows(prefix), &api);
        }
    }

    /// Returns the metrics page for Prometheus at `path`. It contains nothing about single users, but shows how many
    /// there are: allow only Prometheus to reach it.
    ///
    /// The page does not exist (404) with a [`meter_provider`](super::Builder::meter_provider) of the application, which has
    /// its own exporter, and without telemetry.
    #[cfg(feature = "telemetry")]
    #[must_use]
    pub fn metrics(&self, path: &str) -> Resource {
        let page = PageOfApplication {
            page: self.0.parts.meters.page(),
            token: self.0.parts.metrics_token.clone(),
        };
        web::resource(path)
            .app_data(Data::new(page))
            .guard(guard::Any(guard::Get()).or(guard::Head()))
            .to(crate::management::page)
    }

    /// Returns the readiness probe at `path`: 200 if Redis can be read and written and [`Accounts::ping`] succeeds, 503
    /// otherwise. The causes are in the log. Each request writes one key in Redis.
    ///
    /// [`Accounts::ping`]: crate::Accounts::ping
    #[must_use]
    pub fn ready(&self, path: &str) -> Resource {
        let stores = crate::readiness::Readiness {
            accounts: Arc::clone(&self.0.parts.stores.accounts),
            sessions: Arc::clone(&self.0.parts.stores.sessions),
            timeout: self.0.parts.timeout,
        };
        web::resource(path)
            .app_data(Data::new(stores))
            .guard(guard::Any(guard::Get()).or(guard::Head()))
            .to(crate::readiness::ready_in_public)
    }

    /// Returns the service that starts, lists and ends sessions.
    #[must_use]
    pub fn session_service(&self) -> &Sessions {
        &self.0.parts.api.sessions
    }

    /// Applies the current state of an account to its sessions: they get its role, or end if it is disabled or deleted.
    /// Call it after each such change.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; call it again.
    pub async fn account_changed(&self, id: UserId) -> Result<(), StoreError> {
        self.0.parts.sessions.lifecycle.settle(id).await
    }

    /// Ends all sessions of a user, whose other devices must log in again. Call it after a change of the password.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; call it again.
    pub async fn password_changed(&self, id: UserId) -> Result<(), StoreError> {
        self.0.parts.sessions.sessions.end_user(id, None).await?;
        Ok(())
    }

    /// Stops the background tasks, counts the sessions once more, exports what is not exported yet, and releases the lease,
    /// so that another replica goes on at once. Takes at most some seconds. Call it after the last request.
    pub async fn shutdown(self) {
        let parts = &self.0.parts;
        for task in &parts.tasks {
            task.abort();
        }
        let this = self.clone();
        let last = self.0.runtime.handle().spawn(async move {
            let parts = &this.0.parts;
            let census = &parts.sessions.census;
            #[cfg(feature = "telemetry")]
            parts.meters.last_count(census).await;
            #[cfg(not(feature = "telemetry"))]
            let _ = (census.count().await, census.resign().await);
            #[cfg(feature = "telemetry")]
            parts.meters.shutdown(LAST_TASKS).await;
            parts.store.close();
        });
        let _ = tokio::time::timeout(2 * LAST_TASKS, last).await;
    }
}

/// Returns a prefix with a slash before it and none behind it.
fn normal(prefix: &'static str) -> &'static str {
    let inner = prefix.trim_matches('/');
    if inner.is_empty() {
        return "";
    }
    match prefix.trim_end_matches('/') {
        trimmed if trimmed.starts_with('/') && !trimmed.starts_with("//") => trimmed,
        _ => kept(format!("/{inner}")),
    }
}

/// Keeps a text for as long as the process runs; the same text once.
fn kept(text: String) -> &'static str {
    static KEPT: Mutex<Vec<&str>> = Mutex::new(Vec::new());
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = kept.iter().find(|it| **it == text) {
        return known;
    }
    let new: &'static str = Box::leak(text.into_boxed_str());
    kept.push(new);
    new
}

/// Returns the rows of the login routes under this prefix. They are kept for as long as the process runs, so each prefix is
/// built once, and not once for each worker.
fn rows(prefix: &'static str) -> &'static [Row] {
    static ROWS: Mutex<Vec<(&str, &[Row])>> = Mutex::new(Vec::new());
    let mut known = ROWS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, rows)) = known.iter().find(|(it, _)| *it == prefix) {
        return rows;
    }
    let rows: &'static [Row] = Box::leak(login_routes(prefix).into_boxed_slice());
    known.push((prefix, rows));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_begin_with_a_slash_and_do_not_end_with_one() {
        for (given, expected) in [
            ("/api", "/api"),
            ("/api/", "/api"),
            ("api", "/api"),
            ("api/", "/api"),
            ("//api", "/api"),
            ("/", ""),
            ("", ""),
            ("/a/b/", "/a/b"),
        ] {
            assert_eq!(normal(given), expected, "{given}");
        }
        assert!(std::ptr::eq(normal("again"), normal("again")));
    }
}
