//! A separate service for each test, and browsers to use it with.

mod browser;
mod host;
mod ledger;
mod machine;
mod token_services;
mod tokens;

use std::{path::PathBuf, sync::Arc, time::Duration};

pub(crate) use browser::{Answer, Browser, PUBLIC, http};
pub(crate) use host::{Host, host, host_that};
pub(crate) use ledger::Ledger;
pub(crate) use machine::{Machine, with_form};
use secrecy::SecretString;
use serde_json::Value;
use skriptoteket::{
    accounts::{
        Role, User,
        metrics::PasswordMetrics,
        password::{HashingPolicy, Passwords},
        registration::Registrar,
    },
    app::Application,
    catalogue::CATALOGUE,
    clock::ManualClock,
    config::{self, Config, Database, Environment},
    store::{self, Stores},
    telemetry::{Telemetry, testing::CollectedMetrics},
};
use tempfile::TempDir;
use token_services::TokenServices;
pub(crate) use tokens::{KeyPair, basic, jwt, service_keys, unsigned};
use tokio::{sync::oneshot, task::JoinHandle};

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
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
    _dir: TempDir,
}

/// Returns a configuration in `dir` with free ports and cheap password hashes.
pub(crate) fn config_in(dir: &TempDir) -> Config {
    let environment = Environment::default()
        .with("SKRIPTOTEKET_DATA_DIR", dir.path())
        .with("SKRIPTOTEKET_LISTEN", "127.0.0.1:0")
        .with("SKRIPTOTEKET_MANAGEMENT_LISTEN", "127.0.0.1:0")
        .with("SKRIPTOTEKET_PUBLIC_URL", ORIGIN)
        .with("SKRIPTOTEKET_WORKERS", "2");
    let mut config = config::load(None, &environment).unwrap();
    config.argon2.memory_kib = 8;
    config.argon2.iterations = 1;
    // The load of the machine is not under test.
    config.store_timeout = Duration::from_secs(30);
    config.connections.head_timeout = Duration::from_mins(10);
    config.connections.body_timeout = Duration::from_mins(10);
    config
}

/// Creates hashing threads with cheap parameters.
pub(crate) fn passwords(telemetry: &Telemetry) -> Passwords {
    let policy = HashingPolicy {
        memory_kib: 8,
        iterations: 1,
        parallelism: 1,
        threads: 2,
        queue: 64,
    };
    Passwords::new(&policy, PasswordMetrics::new(&telemetry.meter())).unwrap()
}

/// Starts a service.
pub(crate) async fn spawn_app() -> App {
    spawn_app_with(|_| {}).await
}

/// Starts a service with a configuration that `change` has modified.
pub(crate) async fn spawn_app_with(change: impl FnOnce(&mut Config)) -> App {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config_in(&dir);
    change(&mut config);
    let clock = Arc::new(ManualClock::default());
    let Database::Sqlite { path: database } = config.database.clone();
    let (telemetry, metrics) = Telemetry::in_memory(CATALOGUE);
    let application = Application::build(&config, &telemetry, clock.clone()).await;
    let application = application.unwrap();
    let stores = store::open(&config.store(), clock.clone(), None)
        .await
        .unwrap();
    let (aside, _) = Telemetry::in_memory(CATALOGUE);
    let public = format!("http://{}", application.address());
    let management = format!("http://{}", application.management_address());
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(async move {
        let stopped = async move { drop(stopped.await) };
        application.run_until_stopped(stopped).await.unwrap();
    });
    let document = http()
        .get(format!("{public}/api/openapi.json"))
        .send()
        .await;
    let document = document.unwrap().json::<Value>().await.unwrap();
    App {
        public,
        management,
        clock,
        metrics,
        registrar: Registrar::new(stores.accounts.clone(), passwords(&aside)),
        stores,
        database,
        document: Arc::new(document),
        stop: Some(stop),
        running,
        _dir: dir,
    }
}

impl App {
    /// Creates an account whose password is [`PASSWORD`].
    pub(crate) async fn add_user(&self, name: &str, role: Role) -> User {
        let password = SecretString::from(PASSWORD);
        self.registrar.register(name, role, password).await.unwrap()
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
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        (&mut self.running).await.unwrap();
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}
