//! What an application uses while it runs, and its shutdown.

use std::{fmt, sync::Arc, time::Duration};

use actix_web::{
    Resource, guard,
    web::{self, Data, ServiceConfig},
};
use skriptoteket_core::{error::StoreError, user::UserId};
use skriptoteket_redis::RedisStore;
use skriptoteket_sessions::Sessions;
use tokio::{runtime::Runtime, task::JoinHandle};

#[cfg(feature = "telemetry")]
use super::meters::Meters;
use super::{SessionLayer, SessionServices, SessionStores};
use crate::{
    middleware::RequestLayer,
    request_context::LoginPaths,
    routes::{LoginApi, Row, login_routes, register, register_api},
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
    pub(super) store: RedisStore,
    pub(super) tasks: Vec<JoinHandle<()>>,
    pub(super) timeout: Duration,
    #[cfg(feature = "tokens")]
    pub(super) bearer: Option<skriptoteket_services::BearerAuthenticator>,
}

/// Sessions and logins of an application, started by [`Builder::start`](super::Builder::start). Cheap to clone.
///
/// When the last clone is dropped, the background tasks end. [`Skriptoteket::shutdown`] also sends what was counted
/// last.
#[derive(Clone)]
pub struct Skriptoteket(Arc<Inner>);

struct Inner {
    parts: Parts,
    login_paths: LoginPaths,
    /// Telemetry, background tasks and logins whose client is gone run here, so that they work under any runtime of
    /// the application. `None` once it is shut down.
    runtime: Option<Runtime>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        for task in &self.parts.tasks {
            task.abort();
        }
        if let Some(runtime) = self.runtime.take() {
            // A runtime must not be dropped in async code.
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Skriptoteket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Skriptoteket")
    }
}

impl Skriptoteket {
    pub(super) fn new(parts: Parts, runtime: Runtime) -> Self {
        Self(Arc::new(Inner {
            parts,
            login_paths: LoginPaths::default(),
            runtime: Some(runtime),
        }))
    }

    /// Returns the middleware for [`App::wrap`](actix_web::App::wrap). Call it in the factory of the application.
    ///
    /// State that handlers `insert` into actix-session's `Session` is kept for users who are logged in and dropped for
    /// all other clients.
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
    /// `POST login`, `POST logout`, `GET` and `DELETE sessions`, `DELETE sessions/{id}`, all under `prefix`, which is
    /// the whole path before them, for example `/api`. The bodies are those of the server's API.
    pub fn login_routes(&self, prefix: &'static str) -> impl FnOnce(&mut ServiceConfig) + use<> {
        let this = self.clone();
        move |config| {
            this.0.login_paths.set(prefix);
            register_api(config, &this.0.parts.api);
            #[cfg(feature = "tokens")]
            if let Some(bearer) = &this.0.parts.bearer {
                config.app_data(Data::new(bearer.clone()));
            }
            register(config, rows(prefix));
        }
    }

    /// Returns the metrics page for Prometheus at `path`. It shows nothing about single users, but tells how many there
    /// are: let only Prometheus reach it.
    ///
    /// The page is empty with a [`meter_provider`](super::Builder::meter_provider) of the application, which has its own
    /// exporter.
    #[cfg(feature = "telemetry")]
    #[must_use]
    pub fn metrics(&self, path: &str) -> Resource {
        let telemetry = self.0.parts.meters.telemetry.as_ref();
        let page = telemetry.map(|(telemetry, _)| telemetry.page());
        web::resource(path)
            .app_data(Data::new(page))
            .guard(guard::Any(guard::Get()).or(guard::Head()))
            .to(crate::management::page)
    }

    /// Returns the readiness probe at `path`: 200 if the stores answer, 503 with the causes otherwise.
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
            .to(crate::readiness::ready)
    }

    /// Returns the service that starts, lists and ends sessions.
    #[must_use]
    pub fn session_service(&self) -> &Sessions {
        &self.0.parts.api.sessions
    }

    /// Applies the current state of an account to its sessions: they get its role, or end if it is disabled or deleted,
    /// or if its password was changed. Call it after each such change.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; call it again.
    pub async fn account_changed(&self, id: UserId) -> Result<(), StoreError> {
        self.0.parts.sessions.lifecycle.settle(id).await
    }

    /// Stops the background tasks, counts the sessions once more, sends what is not sent yet, and releases the lease, so
    /// that another replica goes on at once. Takes at most some seconds. Call it after the last request.
    pub async fn shutdown(self) {
        let parts = &self.0.parts;
        for task in &parts.tasks {
            task.abort();
        }
        let Some(runtime) = &self.0.runtime else {
            return;
        };
        let last = {
            let (census, this) = (Arc::clone(&parts.sessions.census), self.clone());
            runtime.spawn(async move {
                #[cfg(feature = "telemetry")]
                let service_wide = this
                    .0
                    .parts
                    .meters
                    .telemetry
                    .as_ref()
                    .map(|it| it.1.clone());
                #[cfg(feature = "telemetry")]
                super::exports::last_count(&census, service_wide).await;
                #[cfg(not(feature = "telemetry"))]
                {
                    let _ = (census.count().await, census.resign().await);
                }
                #[cfg(feature = "telemetry")]
                {
                    let this = this.clone();
                    let flush = tokio::task::spawn_blocking(move || {
                        let telemetry = this.0.parts.meters.telemetry.as_ref();
                        telemetry.map_or(Ok(()), |(telemetry, _)| telemetry.flush(LAST_TASKS))
                    });
                    if !matches!(flush.await, Ok(Ok(()))) {
                        tracing::warn!("the last metrics and spans were not sent");
                    }
                }
                this.0.parts.store.close();
            })
        };
        let _ = tokio::time::timeout(2 * LAST_TASKS, last).await;
    }
}

/// Returns the rows of the login routes under this prefix. They are kept for as long as the process runs, so each prefix is
/// built once, and not once for each worker.
fn rows(prefix: &'static str) -> &'static [Row] {
    static ROWS: std::sync::Mutex<Vec<(&str, &[Row])>> = std::sync::Mutex::new(Vec::new());
    let mut known = ROWS
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some((_, rows)) = known.iter().find(|(it, _)| *it == prefix) {
        return rows;
    }
    let rows: &'static [Row] = Box::leak(login_routes(prefix).into_boxed_slice());
    known.push((prefix, rows));
    rows
}
