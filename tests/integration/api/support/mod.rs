//! A separate service for each test, and browsers to use it with.

mod browser;
mod host;
mod ledger;
mod machine;
mod tokens;

use std::{path::PathBuf, sync::Arc, time::Duration};

pub(crate) use browser::{Answer, Browser, PUBLIC};
pub(crate) use host::{Host, host, host_that};
pub(crate) use ledger::Ledger;
pub(crate) use machine::{Machine, with_form};
use secrecy::SecretString;
use serde_json::Value;
use skriptoteket::{
    accounts::{Profile, Role, User, registration::Registrar},
    catalogue::CATALOGUE,
    clock::ManualClock,
    config::{Config, Database},
    store::{self, Stores},
    telemetry::{Telemetry, testing::CollectedMetrics},
};
use skriptoteket_testing::{
    application::{RunningApplication, config_in},
    http::plain,
    parts::{CHEAP, passwords},
};
use tempfile::TempDir;
pub(crate) use tokens::service_keys;

/// A password that the password rules accept.
pub(crate) const PASSWORD: &str = "correct horse battery staple 42";

/// The public origin of the service, unless a test sets another one.
pub(crate) const ORIGIN: &str = "http://127.0.0.1:8080";

/// A running service.
pub(crate) struct App {
    /// `http://…` of the public listener.
    pub(crate) public: String,
    /// `http://…` of the management listener.
    pub(crate) management: String,
    /// The service's time.
    pub(crate) clock: Arc<ManualClock>,
    /// The service's metrics.
    pub(crate) metrics: CollectedMetrics,
    /// The service's stores, opened as another process opens them.
    pub(crate) stores: Stores,
    /// The file of the embedded store.
    pub(crate) database: PathBuf,
    registrar: Registrar,
    document: Arc<Value>,
    running: RunningApplication,
    _dir: TempDir,
}

/// Starts a service.
pub(crate) async fn spawn_app() -> App {
    spawn_app_with(|_| {}).await
}

/// Starts a service with a configuration that `change` has modified.
pub(crate) async fn spawn_app_with(change: impl FnOnce(&mut Config)) -> App {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config_in(dir.path(), &[("public_url", ORIGIN)]);
    change(&mut config);
    let clock = Arc::new(ManualClock::default());
    let Database::Sqlite { path: database } = config.database.clone();
    let running = RunningApplication::start(&config, clock.clone()).await;
    let stores = store::open(&config.store(), clock.clone(), None)
        .await
        .unwrap();
    let (aside, _) = Telemetry::in_memory(CATALOGUE);
    App {
        public: running.public.clone(),
        management: running.management.clone(),
        clock,
        metrics: running.metrics.clone(),
        registrar: Registrar::new(stores.accounts.clone(), passwords(&CHEAP, &aside)),
        stores,
        database,
        document: document(&running.public).await,
        running,
        _dir: dir,
    }
}

/// Fetches the contract of the service at `base`.
async fn document(base: &str) -> Arc<Value> {
    let url = format!("{base}/api/openapi.json");
    let answer = plain().get(url).send().await.unwrap();
    Arc::new(answer.json().await.unwrap())
}

impl App {
    /// Creates an account whose password is [`PASSWORD`].
    pub(crate) async fn add_user(&self, name: &str, role: Role) -> User {
        let password = SecretString::from(PASSWORD);
        {
            let profile = Profile::default();
            let registered = self.registrar.register(name, role, profile, password);
            registered.await.unwrap()
        }
    }

    /// Returns a browser without cookies.
    pub(crate) fn browser(&self) -> Browser {
        Browser::new(&self.public, Arc::clone(&self.document))
    }

    /// Returns a browser in which this user, whose password is [`PASSWORD`], is logged in.
    pub(crate) async fn logged_in(&self, name: &str) -> Browser {
        let browser = self.browser();
        browser.log_in(name).await.expect_status(200);
        browser
    }

    /// Creates an account and logs it in.
    pub(crate) async fn someone(&self, name: &str, role: Role) -> Browser {
        self.add_user(name, role).await;
        self.logged_in(name).await
    }

    /// Registers a service and returns it with the issued credentials. `body` contains its `id`.
    pub(crate) async fn register(&self, boss: &Browser, body: Value) -> Machine {
        let answer = boss.post("/api/admin/services", &body).await;
        Machine::new(
            &self.public,
            Arc::clone(&self.document),
            &answer.expect_status(201).json(),
        )
    }

    /// Returns a browser with a superuser logged in.
    pub(crate) async fn boss(&self) -> Browser {
        self.someone("boss", Role::Superuser).await
    }

    /// Returns a ledger that counts events of services from now on.
    pub(crate) fn ledger(&self) -> Ledger {
        Ledger::open(&self.metrics)
    }

    /// Returns the number of login attempts with this status.
    pub(crate) fn logins(&self, status: &str) -> u64 {
        let labels = [("status", status)];
        self.metrics
            .counter("skriptoteket.logins", &labels)
            .unwrap()
    }

    /// Returns the number of login attempts that failed for this reason.
    pub(crate) fn failures(&self, reason: &str) -> u64 {
        let labels = [("reason", reason)];
        let name = "skriptoteket.login_failures";
        self.metrics.counter(name, &labels).unwrap()
    }

    /// Sends a request that blocks, and disconnects once the request is in flight.
    pub(crate) async fn leave_once_in_flight(&self, request: reqwest::RequestBuilder) {
        let in_flight = async {
            let labels = [("http.request.method", "POST"), ("url.scheme", "http")];
            let requests = "http.server.active_requests";
            while self.metrics.gauge(requests, &labels) != Some(1.0) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            answer = request.send() => panic!("unexpected response: {answer:?}"),
            seen = tokio::time::timeout(Duration::from_mins(1), in_flight) => seen.unwrap(),
        }
    }

    /// Stops the service and waits until it has stopped.
    pub(crate) async fn stop(mut self) {
        self.running.stop().await;
    }
}
