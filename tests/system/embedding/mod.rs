//! Other applications with our sessions, as programs: the example, and a crate outside the workspace.

mod cost;

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use reqwest::StatusCode;
use serde_json::json;
use skriptoteket_testing::{
    files::{in_repository, read},
    http::client,
    ports::free_port,
    process::{Killed, send_signal, spawn_for_life},
    redis::RedisServer,
};

/// A started application.
struct Application {
    url: String,
    process: Killed,
}

impl Application {
    /// Starts a program that listens on `port`, with files in `dir`.
    async fn start(program: &Path, arguments: &[&str], dir: &Path, port: u16) -> Self {
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(arguments)
            .current_dir(dir)
            .env("OTEL_METRICS_EXPORTER", "prometheus")
            .stdin(Stdio::null());
        let this = Self {
            url: format!("http://127.0.0.1:{port}"),
            process: Killed(spawn_for_life(command)),
        };
        this.metrics("skriptoteket_active_sessions 0").await;
        this
    }

    /// Waits until the metrics page has this line.
    async fn metrics(&self, line: &str) -> String {
        let page = format!("{}/metrics", self.url);
        let client = client();
        let mut left = skriptoteket_testing::wait::TIME_LIMIT;
        loop {
            if let Ok(response) = client.get(&page).send().await {
                let text = response.text().await.unwrap();
                if text.lines().any(|it| it == line) {
                    return text;
                }
            }
            assert!(!left.is_zero(), "the page never had {line}");
            left = left.saturating_sub(skriptoteket_testing::wait::LOOK_AGAIN);
            tokio::time::sleep(skriptoteket_testing::wait::LOOK_AGAIN).await;
        }
    }

    /// Logs in, sees the page of the application, and finds the session on the metrics page.
    async fn is_used(&self, greeting: &str) {
        let browser = client();
        let home = || async {
            let response = browser.get(&self.url).send().await.unwrap();
            (response.status(), response.text().await.unwrap())
        };
        assert_eq!(home().await.0, StatusCode::UNAUTHORIZED);
        let login = browser.post(format!("{}/api/login", self.url));
        let login = login.json(&json!({"username": "ada", "password": "correct horse"}));
        assert_eq!(login.send().await.unwrap().status(), StatusCode::OK);
        assert_eq!(home().await, (StatusCode::OK, greeting.to_owned()));
        let page = self
            .metrics("skriptoteket_sessions_by_role{role=\"admin\"} 1")
            .await;
        assert!(
            page.lines()
                .any(|it| it.starts_with("skriptoteket_logins_total")),
            "{page}"
        );
    }

    /// Ends it with SIGTERM.
    fn ends(mut self) {
        send_signal(&self.process.0, "TERM");
        let status = self.process.0.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

/// Builds a package with the Cargo that runs the tests, and returns the path of the program.
fn built(arguments: &[&str], manifest: &str, program: &str) -> PathBuf {
    let target = in_repository("target");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--locked", "--quiet", "--manifest-path"])
        .arg(in_repository(manifest))
        .args(arguments)
        .env("CARGO_TARGET_DIR", &target)
        .status();
    assert!(status.unwrap().success(), "{manifest} cannot be built");
    target.join("debug").join(program)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_has_logins_sessions_gauges_and_a_page_of_its_own() {
    let program = built(
        &["--example", "sessions"],
        "Cargo.toml",
        "examples/sessions",
    );
    let redis = RedisServer::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let arguments = [redis.url(), port.to_string()];
    let arguments = arguments.each_ref().map(String::as_str);
    let app = Application::start(&program, &arguments, dir.path(), port).await;
    app.is_used("hello, ada (admin)\n").await;
    app.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crate_outside_the_workspace_has_them_too() {
    let program = built(
        &["--features", "telemetry"],
        "tests/embedding/Cargo.toml",
        "embedding",
    );
    let redis = RedisServer::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let arguments = [
        redis.url(),
        format!("127.0.0.1:{port}"),
        "cookie.key".to_owned(),
    ];
    let arguments = arguments.each_ref().map(String::as_str);
    let app = Application::start(&program, &arguments, dir.path(), port).await;
    app.is_used("hello, ada\n").await;
    app.ends();
}

#[test]
fn the_glue_has_at_most_twenty_lines() {
    for file in ["examples/sessions.rs", "tests/embedding/src/main.rs"] {
        let source = read(file);
        let (_, rest) = source.split_once("// glue: begin\n").unwrap();
        let (glue, _) = rest.split_once("// glue: end").unwrap();
        let lines = glue.lines().filter(|line| !line.trim().is_empty()).count();
        assert!((5..=20).contains(&lines), "{file}: {lines}");
    }
}
