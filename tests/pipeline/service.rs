//! The real program: its exports match what it did, and no user can be identified from them.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use skriptoteket::{
    clock::{Clock, SystemClock},
    telemetry::{OtlpProtocol, exposition::Exposition},
};
use tempfile::TempDir;

use crate::{
    PROTOCOLS,
    collector::{Collector, eventually},
    metrics::{Series, page_of, series},
    redis_servers::send_signal,
};

const NAME: &str = "astrid.lindqvist";
const PASSWORD: &str = "tundra-lantern-quarry-41";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// Words in requests of a client that must not be exported.
const WORDS: [&str; 9] = [
    NAME,
    PASSWORD,
    "nobody-we-know",
    "wrong-guess",
    "198.51.100.77",
    "hidden-agent",
    "hidden-path",
    "hidden-state",
    "hidden-cookie",
];

/// The limit for a stop on a busy machine; `make bench` measures a stop on an idle one.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A running `skriptoteket serve` that exports everything to a Collector; killed if the test fails.
pub(crate) struct Service {
    child: Child,
    directory: TempDir,
    public: String,
    management: String,
}

impl Service {
    fn start(collector: &Collector, protocol: OtlpProtocol) -> Self {
        let endpoint = collector.endpoint(protocol);
        Self::start_with(&[
            ("SKRIPTOTEKET_LOG", "debug"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", written(protocol)),
            // So that metrics are exported only at the start and at the stop.
            ("OTEL_METRIC_EXPORT_INTERVAL", "3600000"),
        ])
    }

    /// Starts a service with these additional variables.
    pub(crate) fn start_with(variables: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = File::create(directory.path().join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_skriptoteket"))
            .arg("serve")
            .current_dir(directory.path())
            .env_clear()
            .env("SKRIPTOTEKET_LISTEN", "127.0.0.1:0")
            .env("SKRIPTOTEKET_MANAGEMENT_LISTEN", "127.0.0.1:0")
            .env("SKRIPTOTEKET_BOOTSTRAP_USERNAME", NAME)
            .env("SKRIPTOTEKET_BOOTSTRAP_PASSWORD", PASSWORD)
            // The cost of Argon2 is not under test.
            .env("SKRIPTOTEKET_ARGON2_MEMORY_KIB", "8")
            .env("SKRIPTOTEKET_ARGON2_ITERATIONS", "1")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let (public, management) = (String::new(), String::new());
        let mut service = Self {
            child,
            directory,
            public,
            management,
        };
        let ready = eventually("the service is listening", || {
            let log = service.log();
            let lines = log
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok());
            lines
                .into_iter()
                .find(|line: &Value| line["message"] == "the service is listening")
        });
        let address = |name: &str| ready[name].as_str().unwrap().to_owned();
        service.public = address("listen");
        service.management = address("management");
        service
    }

    pub(crate) fn log(&self) -> String {
        let path: PathBuf = self.directory.path().join("log");
        fs::read_to_string(path).unwrap()
    }

    /// Sends a request with sensitive values in its headers.
    async fn send(
        &self,
        method: Method,
        path: &str,
        cookie: &str,
        body: Option<Value>,
    ) -> Response {
        let request = Client::new()
            .request(method, format!("http://{}{path}", self.public))
            .header("traceparent", format!("00-{TRACE}-{CALLER}-01"))
            .header("tracestate", "vendor=hidden-state")
            .header("user-agent", "hidden-agent")
            .header("x-forwarded-for", "198.51.100.77")
            .header("cookie", cookie);
        let request = match &body {
            Some(body) => request.json(body),
            None => request,
        };
        request.send().await.unwrap()
    }

    async fn log_in(&self, name: &str, password: &str) -> Response {
        let body = json!({"username": name, "password": password});
        self.send(Method::POST, "/api/login", "", Some(body)).await
    }

    /// Returns the service's own page once everything in this test is counted.
    async fn settled_page(&self) -> Exposition {
        let clock = SystemClock::default();
        loop {
            let url = format!("http://{}/metrics", self.management);
            let answer = Client::new().get(url).send().await.unwrap();
            let page = Exposition::parse(&answer.text().await.unwrap()).unwrap();
            let sessions = page.value("skriptoteket_active_sessions", &[]);
            let written = page.samples.iter().any(|it| {
                it.name == "skriptoteket_store_operation_duration_seconds_count"
                    && it.labels["operation"] == "append"
            });
            if sessions == Some(1.0) && written {
                return page;
            }
            assert!(clock.monotonic() < Duration::from_mins(1), "{page:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops it as a service manager does.
    fn stop(&mut self) {
        let clock = SystemClock::default();
        send_signal(&self.child, "TERM");
        let status = eventually("the service ends", || self.child.try_wait().unwrap());
        assert!(status.success(), "{status}: {}", self.log());
        assert!(clock.monotonic() < STOP_LIMIT, "{:?}", clock.monotonic());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // After `stop` no process is left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the protocol as a value of `OTEL_EXPORTER_OTLP_PROTOCOL`.
pub(crate) const fn written(protocol: OtlpProtocol) -> &'static str {
    match protocol {
        OtlpProtocol::Grpc => "grpc",
        OtlpProtocol::HttpProtobuf => "http/protobuf",
    }
}

/// A span as the Collector logs it.
#[derive(Debug, Default)]
struct Span {
    trace: String,
    parent: String,
    id: String,
    name: String,
}

fn spans(output: &str) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for line in output.lines() {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim().to_owned();
        if line.starts_with("    Trace ID") {
            spans.push(Span {
                trace: value,
                ..Span::default()
            });
        } else if let Some(span) = spans.last_mut() {
            match key.trim_end() {
                "    Parent ID" => span.parent = value,
                "    ID" => span.id = value,
                "    Name" => span.name = value,
                _ => {}
            }
        }
    }
    spans
}

/// Clears the values that change by themselves between the page and the stop.
fn without_time(mut all: BTreeMap<Series, String>) -> BTreeMap<Series, String> {
    for ((name, _), value) in &mut all {
        let ages = ["store_operation", "census_age", "signing_key_age"];
        if ages.iter().any(|it| name.contains(it)) {
            value.clear();
        }
    }
    all
}

/// Prometheus derives an increase from two samples: changes before the first export are not visible.
#[test]
fn before_anyone_is_served_every_counter_is_exported_at_zero() {
    for protocol in PROTOCOLS {
        let collector = Collector::start();
        let _service = Service::start(&collector, protocol);
        let page = page_of(&collector);
        let zero_born =
            ["success", "failure"].map(|it| ("skriptoteket_logins_total", ("status", it)));
        let by_reason = (
            "skriptoteket_login_failures_total",
            ("reason", "invalid_credentials"),
        );
        let by_role = ("skriptoteket_sessions_started_total", ("role", "user"));
        for (name, label) in zero_born.into_iter().chain([by_reason, by_role]) {
            assert_eq!(
                page.value(name, &[label]),
                Some(0.0),
                "{protocol:?}: {name}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_service_did_is_what_the_collector_has_and_it_names_nobody() {
    // If another test of this process has installed it before, it is the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    for protocol in PROTOCOLS {
        let collector = Collector::start();
        let mut service = Service::start(&collector, protocol);

        let answer = service.log_in(NAME, PASSWORD).await;
        assert_eq!(answer.status(), 200);
        let set = answer.headers()["set-cookie"].to_str().unwrap();
        let cookie = set.split(';').next().unwrap().to_owned();
        let secret = cookie.split_once('=').unwrap().1.to_owned();
        let login: Value = answer.json().await.unwrap();
        let user = login["user"]["id"].as_str().unwrap().to_owned();
        for (name, password) in [(NAME, "wrong-guess"), ("nobody-we-know", "wrong-guess")] {
            assert_eq!(service.log_in(name, password).await.status(), 401);
        }
        let (get, junk) = (Method::GET, "skriptoteket=hidden-cookie");
        for (path, cookie, expected) in [
            ("/api/session", cookie.as_str(), 200),
            ("/api/sessions", &cookie, 200),
            ("/api/session", junk, 401),
            ("/hidden-path?hidden-path=hidden-path", &cookie, 404),
        ] {
            let answer = service.send(get.clone(), path, cookie, None).await;
            assert_eq!(answer.status(), expected, "{path}");
        }
        let broken = Some(json!([NAME]));
        let answer = service.send(Method::POST, "/api/login", "", broken).await;
        assert!(answer.status().is_client_error());

        let own = without_time(series(&service.settled_page().await));
        service.stop();
        let collected = without_time(series(&page_of(&collector)));
        assert_eq!(collected, own, "{protocol:?}");

        let told = eventually("the last record arrives", || {
            let output = collector.output();
            output.contains("the service has stopped").then_some(output)
        });
        let spans: Vec<Span> = spans(&told)
            .into_iter()
            .filter(|it| it.trace == TRACE)
            .collect();
        let named =
            |name: &str| -> Vec<&Span> { spans.iter().filter(|it| it.name == name).collect() };
        let requests = named("POST /api/login");
        // One of the four requests was not a login.
        assert_eq!(requests.len(), 4, "{spans:?}");
        assert!(requests.iter().all(|it| it.parent == CALLER));
        let logins = named("login");
        assert_eq!(logins.len(), 3, "{spans:?}");
        for login in &logins {
            assert!(requests.iter().any(|it| it.id == login.parent), "{spans:?}");
        }
        for name in ["password check", "store operation"] {
            let within = |span: &&&Span| logins.iter().any(|it| it.id == span.parent);
            let found = named(name).iter().filter(within).count();
            assert!(found >= logins.len(), "{name}: {spans:?}");
        }

        let told = format!("{told}\n{:?}\n{}", collector.page(), service.log());
        let words = WORDS.into_iter().chain([secret.as_str(), user.as_str()]);
        for word in words {
            let at = told.find(word).map(|at| &told[at.saturating_sub(200)..at]);
            assert_eq!(at, None, "{protocol:?}: {word} is exported after this");
        }
    }
}

/// With a sampled parent, a client could have all its requests traced.
#[tokio::test(flavor = "multi_thread")]
async fn a_parent_is_believed_from_trusted_proxies_only() {
    // If another test of this process has installed it before, it is the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let collector = Collector::start();
    let endpoint = collector.endpoint(OtlpProtocol::HttpProtobuf);
    let mut service = Service::start_with(&[
        ("SKRIPTOTEKET_TRUSTED_PROXIES", "192.0.2.0/24"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("OTEL_TRACES_SAMPLER_ARG", "0"),
    ]);
    for _ in 0..5 {
        let answer = service.send(Method::GET, "/api/session", "", None).await;
        assert_eq!(answer.status(), 401);
    }
    service.stop();
    let told = eventually("the last record arrives", || {
        let output = collector.output();
        output.contains("the service has stopped").then_some(output)
    });
    assert_eq!(spans(&told).len(), 0, "{told}");
    assert!(!told.contains(TRACE), "{told}");
}
