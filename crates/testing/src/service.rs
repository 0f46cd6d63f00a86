//! A `skriptoteket serve` process with its own directory and ports. It is stopped when its value is dropped.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use reqwest::{Client, Response};
use serde_json::{Value, json};

use crate::{
    http::{client, plain},
    page::Page,
    ports::free_port,
    process::{send_signal, spawn_for_life},
    program::program,
    wait::TIME_LIMIT,
};

/// The password of the superuser `admin` and of all other accounts.
pub const PASSWORD: &str = "tundra-lantern-quarry-41";

/// Maximum time from a signal to the end of a service.
///
/// Two seconds are promised on an otherwise idle machine, and `make bench` checks that promise. A fault that delays a
/// stop takes longer than this, or blocks it forever.
pub const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A running service. It is killed when this is dropped, and when the test process ends in any way.
#[derive(Debug)]
pub struct Service {
    child: Child,
    dir: PathBuf,
    settings: Vec<(&'static str, String)>,
    port: u16,
    management_port: u16,
    log: PathBuf,
}

impl Service {
    /// Starts the service in `dir` and waits until it is ready. `settings` are names without the prefix, and values.
    pub async fn start(dir: &Path, settings: &[(&'static str, &str)]) -> Self {
        let settings: Vec<_> = settings
            .iter()
            .map(|(k, v)| (*k, (*v).to_owned()))
            .collect();
        Self::spawn(dir.to_owned(), settings).await
    }

    async fn spawn(dir: PathBuf, settings: Vec<(&'static str, String)>) -> Self {
        let mut service = Self::launch(dir, settings, (free_port(), free_port()));
        service.wait_until_ready().await;
        service
    }

    /// Starts the service with these limits of open files, and waits until it is ready.
    pub async fn start_with_files(
        dir: &Path,
        settings: &[(&'static str, &str)],
        soft: usize,
        hard: usize,
    ) -> Self {
        let settings = settings.iter().map(|(k, v)| (*k, (*v).to_owned()));
        let ports = (free_port(), free_port());
        let limits = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$@\"");
        let before = ["sh", "-c", &limits, "sh"].map(str::to_owned);
        let mut service = Self::launch_behind(&before, dir.to_owned(), settings.collect(), ports);
        service.wait_until_ready().await;
        service
    }

    /// Starts the service without waiting.
    pub fn launched(dir: &Path, settings: &[(&'static str, &str)]) -> Self {
        let settings = settings.iter().map(|(k, v)| (*k, (*v).to_owned()));
        Self::launch(
            dir.to_owned(),
            settings.collect(),
            (free_port(), free_port()),
        )
    }

    /// Starts the service on these ports, the public one first, without waiting.
    pub fn launch(dir: PathBuf, settings: Vec<(&'static str, String)>, ports: (u16, u16)) -> Self {
        Self::launch_behind(&[], dir, settings, ports)
    }

    /// Like `launch`, through a program that takes the service's command line as its last arguments.
    fn launch_behind(
        before: &[String],
        dir: PathBuf,
        settings: Vec<(&'static str, String)>,
        (port, management_port): (u16, u16),
    ) -> Self {
        let log = dir.join(format!("service-{port}.log"));
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        // Under `nohup`, or in the background of a script, signals are ignored, and a program inherits that.
        let mut command = Command::new("env");
        command
            .args(["--default-signal", "setpriv", "--pdeathsig", "KILL"])
            .args(before)
            .arg(program())
            .arg("serve")
            .current_dir(&dir)
            .env_clear()
            .env("SKRIPTOTEKET_DATA_DIR", dir.join("data"))
            .env("SKRIPTOTEKET_LISTEN", format!("127.0.0.1:{port}"))
            .env(
                "SKRIPTOTEKET_MANAGEMENT_LISTEN",
                format!("127.0.0.1:{management_port}"),
            )
            .env("SKRIPTOTEKET_BOOTSTRAP_PASSWORD", PASSWORD)
            .env("SKRIPTOTEKET_CENSUS_INTERVAL", "1s")
            // Neither the speed of the machine nor the cost of Argon2 is tested here.
            .env("SKRIPTOTEKET_STORE_TIMEOUT", "5s")
            .env("SKRIPTOTEKET_REDIS_CONNECT_TIMEOUT", "5s")
            // A connection that a client opened in reserve, or whose head it is slow to send, is answered 408 after that.
            .env("SKRIPTOTEKET_REQUEST_HEAD_TIMEOUT", "10m")
            .env("SKRIPTOTEKET_REQUEST_BODY_TIMEOUT", "10m")
            .env("SKRIPTOTEKET_ARGON2_MEMORY_KIB", "8")
            .env("SKRIPTOTEKET_ARGON2_ITERATIONS", "1")
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output);
        for (name, value) in &settings {
            let variable = format!("SKRIPTOTEKET_{}", name.to_uppercase());
            if value.is_empty() {
                // Removes one of the variables above.
                command.env_remove(variable);
            } else if name.starts_with("OTEL_") {
                command.env(name, value);
            } else {
                command.env(variable, value);
            }
        }
        let child = spawn_for_life(command);
        Self {
            child,
            dir,
            settings,
            port,
            management_port,
            log,
        }
    }

    /// Waits until `/readyz` reports ready.
    pub async fn wait_until_ready(&mut self) {
        let url = self.management("/readyz");
        let client = plain();
        let started_at = Instant::now();
        while started_at.elapsed() < TIME_LIMIT {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the service ended with {status}:\n{}", self.output());
            }
            let answer = client.get(&url).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the service was not ready in time:\n{}", self.output());
    }

    /// Returns a URL of the public listener.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Returns a URL of the management listener.
    pub fn management(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.management_port)
    }

    /// Returns the port of the public listener.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns the port of the management listener.
    pub const fn management_port(&self) -> u16 {
        self.management_port
    }

    /// Returns the process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the whole log.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Returns its `/metrics` page.
    pub async fn page(&self) -> Page {
        let answer = plain()
            .get(self.management("/metrics"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        Page::parse(&answer.text().await.unwrap())
    }

    /// Scrapes until the page satisfies `wanted`.
    pub async fn page_where(&self, what: &str, wanted: impl Fn(&Page) -> bool) -> Page {
        let started_at = Instant::now();
        loop {
            let page = self.page().await;
            if wanted(&page) {
                return page;
            }
            assert!(
                started_at.elapsed() < TIME_LIMIT,
                "{what}: not reached in time"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Sends a login.
    pub async fn login(&self, client: &Client, name: &str, password: &str) -> Response {
        let credentials = json!({"username": name, "password": password});
        client
            .post(self.url("/api/login"))
            .json(&credentials)
            .send()
            .await
            .unwrap()
    }

    /// Returns a client that is logged in as the superuser.
    pub async fn admin(&self) -> Client {
        let client = client();
        let answer = self.login(&client, "admin", PASSWORD).await;
        assert_eq!(answer.status(), 200);
        client
    }

    /// Creates accounts through the API.
    pub async fn add_users(&self, admin: &Client, users: &[(&str, &str)]) {
        for (name, role) in users {
            let user = json!({"username": name, "password": PASSWORD, "role": role});
            let answer = admin
                .post(self.url("/api/admin/users"))
                .json(&user)
                .send()
                .await
                .unwrap();
            assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
        }
    }

    /// Returns every live session, page by page.
    pub async fn enumerate(&self, admin: &Client) -> Vec<Value> {
        let (mut sessions, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let after = cursor.map(|it| format!("&cursor={it}")).unwrap_or_default();
            let url = self.url(&format!("/api/admin/sessions?limit=200{after}"));
            let answer = admin.get(url).send().await.unwrap();
            assert_eq!(answer.status(), 200);
            let page: Value = answer.json().await.unwrap();
            sessions.extend(page["sessions"].as_array().unwrap().iter().cloned());
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                return sessions;
            }
        }
    }

    /// Kills the process (`kill -9`) and starts a new one in the same directory, on other ports.
    pub async fn kill_and_restart(mut self) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let (dir, settings) = (self.dir.clone(), self.settings.clone());
        Self::spawn(dir, settings).await
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal, named without `SIG`.
    pub fn signal(&self, signal: &str) {
        send_signal(&self.child, signal);
    }

    /// Waits for the process to end on its own.
    pub async fn wait(&mut self) -> ExitStatus {
        let started_at = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                started_at.elapsed() < TIME_LIMIT,
                "the service did not end in time"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
