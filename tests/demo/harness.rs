//! A running service for a demo to use.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
    sync::Arc,
};

use reqwest::header::{COOKIE, SET_COOKIE};
use serde_json::{Value, json};
use skriptoteket::{
    app::Application,
    catalogue::CATALOGUE,
    clock::SystemClock,
    config::{Environment, load},
    telemetry::Telemetry,
};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{demo, path};

const PASSWORD: &str = "tundra-lantern-quarry-41";

/// A service in this process that is used by the test alone.
pub(crate) struct Harness {
    pub(crate) api: String,
    pub(crate) management: String,
    pub(crate) dir: TempDir,
    stop: oneshot::Sender<()>,
    running: JoinHandle<anyhow::Result<()>>,
    _telemetry: Telemetry,
}

impl Harness {
    pub(crate) async fn open() -> Self {
        Self::open_in(tempfile::tempdir().unwrap(), "127.0.0.1:0").await
    }

    /// Starts a service on the data in this directory.
    pub(crate) async fn open_in(dir: TempDir, listen: &str) -> Self {
        let environment = Environment::default()
            .with("SKRIPTOTEKET_LISTEN", listen)
            .with("SKRIPTOTEKET_MANAGEMENT_LISTEN", "127.0.0.1:0")
            .with("SKRIPTOTEKET_DATA_DIR", dir.path().join("data"))
            // The speed of the machine is not tested.
            .with("SKRIPTOTEKET_STORE_TIMEOUT", "30s")
            .with("SKRIPTOTEKET_BOOTSTRAP_USERNAME", "ada")
            .with("SKRIPTOTEKET_BOOTSTRAP_PASSWORD", PASSWORD);
        fs::write(dir.path().join("password"), PASSWORD).unwrap();
        let config = load(None, &environment).unwrap();
        let telemetry = Telemetry::start(&config.otel, CATALOGUE).unwrap();
        let clock = Arc::new(SystemClock::default());
        let application = Application::build(&config, &telemetry, clock)
            .await
            .unwrap();
        let url = |address| format!("http://{address}");
        let (api, management) = (application.address(), application.management_address());
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(application.run_until_stopped(async {
            let _ = stopped.await;
        }));
        Self {
            api: url(api),
            management: url(management),
            dir,
            stop,
            running,
            _telemetry: telemetry,
        }
    }

    pub(crate) fn password_file(&self) -> PathBuf {
        self.dir.path().join("password")
    }

    pub(crate) async fn close(self) -> TempDir {
        self.stop.send(()).unwrap();
        self.running.await.unwrap().unwrap();
        self.dir
    }

    /// Creates an account with this name.
    pub(crate) async fn add_user(&self, name: &str) {
        let body = json!({"username": name, "password": PASSWORD});
        let status = self.ask("POST", "/api/admin/users", &body).await.0;
        assert_eq!(status, 201);
    }

    /// Registers a service with this id and description.
    pub(crate) async fn add_service(&self, id: &str, description: &str) {
        let body = json!({"id": id, "description": description});
        let (status, said) = self.ask("POST", "/api/admin/services", &body).await;
        assert_eq!(status, 201, "{said}");
    }

    /// Returns the names of all accounts and the ids of all services.
    pub(crate) async fn names(&self) -> Vec<String> {
        let users = self.get("/api/admin/users?limit=200").await;
        let services = self.get("/api/admin/services").await;
        let of = |list: &Value, name: &str| -> Vec<String> {
            let list = list.as_array().unwrap().iter();
            list.map(|it| it[name].as_str().unwrap().to_owned())
                .collect()
        };
        let mut names = of(&users["users"], "username");
        names.extend(of(&services["services"], "id"));
        names.sort();
        names
    }

    /// Returns the superuser's response at this path.
    pub(crate) async fn get(&self, path: &str) -> Value {
        self.ask("GET", path, &Value::Null).await.1
    }

    /// Sends a request as the superuser; returns the status and the body.
    async fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        // The crypto provider of the process; a second call has no effect.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let login = json!({"username": "ada", "password": PASSWORD});
        let login = client.post(format!("{}/api/login", self.api)).json(&login);
        let answer = login.send().await.unwrap();
        let cookie = answer.headers()[SET_COOKIE].to_str().unwrap().to_owned();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let url = format!("{}{path}", self.api);
        let request = client.request(method.parse().unwrap(), url);
        let mut request = request.header(COOKIE, cookie);
        if !body.is_null() {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap())
    }
}

/// Returns the arguments that name a service and its superuser.
pub(crate) fn target<'a>(api: &'a str, password_file: &'a Path) -> [&'a str; 6] {
    let file = path(password_file);
    let superuser = ["--superuser", "ada", "--superuser-password-file", file];
    let [a, b, c, d] = superuser;
    ["--target", api, a, b, c, d]
}

/// Runs the demo against a service. Its metrics are read at `management`.
pub(crate) async fn run_at(harness: &Harness, management: &str, more: &[&str]) -> Output {
    let file = harness.password_file();
    let measured = ["--management-target", management];
    let mut command = demo(&[&target(&harness.api, &file)[..], &measured, more].concat());
    let ran = tokio::task::spawn_blocking(move || command.output());
    ran.await.unwrap().unwrap()
}
