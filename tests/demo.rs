//! `skriptoteket demo` as a process of its own, on its own service and on one that is there already.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot set up is a failure of the test"
)]

#[path = "redis_servers/signals.rs"]
mod signals;

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Arc,
};

use reqwest::header::{COOKIE, SET_COOKIE};
use serde_json::{Value, json};
use skriptoteket::{
    app::Application,
    clock::SystemClock,
    config::{Environment, load},
    telemetry::Telemetry,
};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};

const PASSWORD: &str = "tundra-lantern-quarry-41";

fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skriptoteket"));
    command.arg("demo").args(arguments).stdin(Stdio::null());
    command
}

fn own(arguments: &[&str]) -> Command {
    let free = [
        "--listen",
        "127.0.0.1:0",
        "--management-listen",
        "127.0.0.1:0",
    ];
    demo(&[&free[..], arguments].concat())
}

fn text(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(all).unwrap()
}

/// A service that nobody else uses, in this process.
struct House {
    api: String,
    management: String,
    dir: TempDir,
    stop: oneshot::Sender<()>,
    running: JoinHandle<anyhow::Result<()>>,
    _telemetry: Telemetry,
}

impl House {
    async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let environment = Environment::default()
            .with("SKRIPTOTEKET_LISTEN", "127.0.0.1:0")
            .with("SKRIPTOTEKET_MANAGEMENT_LISTEN", "127.0.0.1:0")
            .with("SKRIPTOTEKET_DATA_DIR", dir.path().join("data"))
            // How busy the machine is, is not tested.
            .with("SKRIPTOTEKET_STORE_TIMEOUT", "30s")
            .with("SKRIPTOTEKET_BOOTSTRAP_USERNAME", "ada")
            .with("SKRIPTOTEKET_BOOTSTRAP_PASSWORD", PASSWORD);
        fs::write(dir.path().join("password"), PASSWORD).unwrap();
        let config = load(None, &environment).unwrap();
        let telemetry = Telemetry::start(&config.otel).unwrap();
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

    fn password_file(&self) -> PathBuf {
        self.dir.path().join("password")
    }

    async fn close(self) {
        self.stop.send(()).unwrap();
        self.running.await.unwrap().unwrap();
    }

    /// What the superuser gets at this path.
    async fn get(&self, path: &str) -> Value {
        // The process's provider; a second call changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let body = json!({"username": "ada", "password": PASSWORD});
        let login = client.post(format!("{}/api/login", self.api)).json(&body);
        let answer = login.send().await.unwrap();
        let cookie = answer.headers()[SET_COOKIE].to_str().unwrap().to_owned();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let request = client.get(format!("{}{path}", self.api));
        let answer = request.header(COOKIE, cookie).send().await.unwrap();
        answer.json().await.unwrap()
    }
}

/// Runs the demo against a service; its metrics are looked for at `management`.
async fn run_at(house: &House, management: &str, more: &[&str]) -> Output {
    let file = house.password_file();
    let target = [
        "--target",
        &house.api,
        "--superuser",
        "ada",
        "--superuser-password-file",
        path(&file),
        "--management-target",
        management,
    ];
    let mut command = demo(&[&target[..], more].concat());
    let ran = tokio::task::spawn_blocking(move || command.output());
    ran.await.unwrap().unwrap()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_demo_ends_in_time_and_the_metrics_say_what_it_did() {
    // Eight seconds show a bit of everything, and more of them show it on a slow machine.
    let output = own(&["--duration", "20s", "--seed", "1"]).output().unwrap();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let lines = text
        .lines()
        .filter(|line| line.contains("active_sessions "));
    // Every two seconds, or less often on a slow machine.
    assert!((3..=12).contains(&lines.count()), "{text}");
    assert!(text.contains("The metrics say what was done."), "{text}");
    for services_did in [
        "services let in",
        "services not let in",
        "replaced secrets used",
        "requests over a limit",
    ] {
        let row = text.lines().find(|line| line.contains(services_did));
        let cells: Vec<&str> = row.unwrap().split(['│', '┆']).map(str::trim).collect();
        assert!(cells[2].parse::<u64>().unwrap() > 0, "{text}");
        assert_eq!(cells[2], cells[3], "{text}");
    }
    assert!(
        !text.contains("absent") && !text.contains("somebody else"),
        "{text}"
    );
    assert!(
        !text.contains('\u{1b}'),
        "no terminal, no escapes: {text:?}"
    );
    assert!(
        !text.contains("password "),
        "no secret in what may be a log: {text}"
    );
}

#[test]
fn a_demo_without_end_is_stopped_by_a_signal_and_sums_up() {
    let mut child = own(&[]).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("active_sessions") {
        line.clear();
        assert!(
            stdout.read_line(&mut line).unwrap() > 0,
            "it ended by itself"
        );
    }
    signals::send_signal(&child, "TERM");
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{rest}");
    assert!(rest.contains("The metrics say what was done."), "{rest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_service_is_used_and_left_as_it_was() {
    let house = House::open().await;
    let output = run_at(&house, &house.management, &["--duration", "6s"]).await;
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("The metrics say what was done."), "{said}");
    let users = house.get("/api/admin/users").await;
    assert_eq!(users["users"].as_array().unwrap().len(), 1, "{users}");
    let services = house.get("/api/admin/services").await;
    assert_eq!(services["services"], json!([]));
    let sessions = house.get("/api/admin/sessions").await;
    let sessions = sessions["sessions"].as_array().unwrap();
    assert!(sessions.iter().all(|it| it["user"]["username"] == "ada"));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_that_say_something_else_are_a_failure() {
    let (house, other) = (House::open().await, House::open().await);
    let output = run_at(&house, &other.management, &["--duration", "2s"]).await;
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("NO") && said.contains("do not say"), "{said}");
    house.close().await;
    other.close().await;
}

#[test]
fn a_target_needs_a_superuser() {
    let output = demo(&["--target", "http://127.0.0.1:1"]).output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--superuser-password-file"), "{said}");
}
