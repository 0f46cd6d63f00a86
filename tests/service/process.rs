//! A `skriptoteket serve` in a directory and on ports of its own, which ends with the value that holds it.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use reqwest::{Client, ClientBuilder, Response};
use serde_json::{Value, json};

use crate::{
    page::Page,
    redis_servers::{free_port, send_signal, spawn_for_life},
};

/// The superuser `admin`'s password, and everybody else's.
pub const PASSWORD: &str = "tundra-lantern-quarry-41";

/// How long anything is waited for.
pub const TIME_LIMIT: Duration = Duration::from_mins(1);

/// Within which time a service has to end after a signal.
///
/// Two seconds are promised on a machine that has nothing else to do, and `make bench` holds the service to that. What would
/// hold a stop up takes longer than this, or for ever.
#[allow(
    dead_code,
    reason = "not every test crate that includes this file asks for it"
)]
pub const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A running service. It ends when this is dropped, or with the test process however that ends.
pub struct Service {
    child: Child,
    dir: PathBuf,
    settings: Vec<(&'static str, String)>,
    port: u16,
    management_port: u16,
    log: PathBuf,
}

impl Service {
    /// Starts it in `dir` and waits until it is ready. `settings` are names without the prefix.
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

    /// Starts it with these limits of open files, and waits until it is ready.
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

    /// Starts it, and waits for nothing.
    pub fn launched(dir: &Path, settings: &[(&'static str, &str)]) -> Self {
        let settings = settings.iter().map(|(k, v)| (*k, (*v).to_owned()));
        Self::launch(
            dir.to_owned(),
            settings.collect(),
            (free_port(), free_port()),
        )
    }

    /// Starts it on these ports, the public one first, and does not wait.
    pub fn launch(dir: PathBuf, settings: Vec<(&'static str, String)>, ports: (u16, u16)) -> Self {
        Self::launch_behind(&[], dir, settings, ports)
    }

    /// The same, by a program that takes its command line as the last of its arguments.
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
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL"])
            .args(before)
            .args([env!("CARGO_BIN_EXE_skriptoteket"), "serve"])
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
            // What is tested here is not how busy the machine is, nor the cost of Argon2.
            .env("SKRIPTOTEKET_STORE_TIMEOUT", "5s")
            .env("SKRIPTOTEKET_REDIS_CONNECT_TIMEOUT", "5s")
            .env("SKRIPTOTEKET_ARGON2_MEMORY_KIB", "8")
            .env("SKRIPTOTEKET_ARGON2_ITERATIONS", "1")
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output);
        for (name, value) in &settings {
            let variable = format!("SKRIPTOTEKET_{}", name.to_uppercase());
            if value.is_empty() {
                // One of those above is not to be set.
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

    /// Waits until `/readyz` says so.
    pub async fn wait_until_ready(&mut self) {
        let url = self.management("/readyz");
        let client = plain();
        let begun = Instant::now();
        while begun.elapsed() < TIME_LIMIT {
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

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn management(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.management_port)
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    pub const fn management_port(&self) -> u16 {
        self.management_port
    }

    /// The id of its process.
    #[allow(
        dead_code,
        reason = "other test crates that include this file read its memory in /proc"
    )]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that it has logged.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

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
        let begun = Instant::now();
        loop {
            let page = self.page().await;
            if wanted(&page) {
                return page;
            }
            assert!(
                begun.elapsed() < TIME_LIMIT,
                "{what}: it did not come about"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn login(&self, client: &Client, name: &str, password: &str) -> Response {
        let credentials = json!({"username": name, "password": password});
        client
            .post(self.url("/api/login"))
            .json(&credentials)
            .send()
            .await
            .unwrap()
    }

    /// A client that is logged in as the superuser.
    pub async fn admin(&self) -> Client {
        let client = client();
        let answer = self.login(&client, "admin", PASSWORD).await;
        assert_eq!(answer.status(), 200);
        client
    }

    /// Makes accounts through the API.
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

    /// Every live session, page by page.
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

    /// `kill -9`, then a new process in the same directory, on other ports.
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

    pub fn signal(&self, signal: &str) {
        send_signal(&self.child, signal);
    }

    /// Waits for the process to end by itself.
    pub async fn wait(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < TIME_LIMIT, "the service did not end");
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

/// A client that keeps cookies.
pub fn client() -> Client {
    builder().cookie_store(true).build().unwrap()
}

/// A client that keeps none.
pub fn plain() -> Client {
    builder().build().unwrap()
}

/// A client to be made.
pub fn builder() -> ClientBuilder {
    // A second call, from another test of this process, changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
}
