//! A running service for a demo to use.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
    sync::Arc,
};

use reqwest::header::COOKIE;
use serde_json::{Value, json};
use skriptoteket::clock::SystemClock;
use skriptoteket_testing::{
    application::{RunningApplication, config_in},
    http::{cookie_of, plain},
    service::PASSWORD,
};
use tempfile::TempDir;

use crate::demo::{demo, path};

/// A service in this process that is used by the test alone.
pub(crate) struct Harness {
    pub(crate) api: String,
    pub(crate) management: String,
    pub(crate) dir: TempDir,
    running: RunningApplication,
}

impl Harness {
    pub(crate) async fn open() -> Self {
        Self::open_in(tempfile::tempdir().unwrap(), "127.0.0.1:0").await
    }

    /// Starts a service on the data in this directory.
    pub(crate) async fn open_in(dir: TempDir, listen: &str) -> Self {
        fs::write(dir.path().join("password"), PASSWORD).unwrap();
        let settings = [
            ("listen", listen),
            ("bootstrap_username", "ada"),
            ("bootstrap_password", PASSWORD),
        ];
        let config = config_in(&dir.path().join("data"), &settings);
        let running = RunningApplication::start(&config, Arc::new(SystemClock::default())).await;
        Self {
            api: running.public.clone(),
            management: running.management.clone(),
            dir,
            running,
        }
    }

    pub(crate) fn password_file(&self) -> PathBuf {
        self.dir.path().join("password")
    }

    pub(crate) async fn close(mut self) -> TempDir {
        self.running.stop().await;
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
        let client = plain();
        let login = json!({"username": "ada", "password": PASSWORD});
        let login = client.post(format!("{}/api/login", self.api)).json(&login);
        let answer = login.send().await.unwrap();
        let cookie = cookie_of(&answer);
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
