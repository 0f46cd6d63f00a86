//! The real program: its exports match what it did, and no user can be identified from them.

use std::{collections::BTreeMap, time::Duration};

use reqwest::{Method, Response};
use serde_json::{Value, json};
use skriptoteket::{
    clock::{Clock, SystemClock},
    telemetry::{OtlpProtocol, exposition::Exposition},
};
use skriptoteket_testing::{
    collector::Collector,
    http::{cookie_of, plain},
    service::{PASSWORD, STOP_LIMIT},
    wait::{eventually, wait_until},
};
use tempfile::TempDir;

use crate::pipeline::{
    PROTOCOLS,
    metrics::{Series, page_of, series},
};

const NAME: &str = "astrid.lindqvist";
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

/// A running `skriptoteket serve` that exports everything to a Collector.
pub(crate) struct Service {
    process: skriptoteket_testing::service::Service,
    _directory: TempDir,
}

impl Service {
    fn start(collector: &Collector, protocol: OtlpProtocol) -> Self {
        let endpoint = collector.endpoint(protocol);
        Self::start_with(&[
            ("log", "debug"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", written(protocol)),
            // So that metrics are exported only at the start and at the stop.
            ("OTEL_METRIC_EXPORT_INTERVAL", "3600000"),
        ])
    }

    /// Starts a service with these additional settings.
    pub(crate) fn start_with(settings: &[(&'static str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let user = [("bootstrap_username", NAME), ("census_interval", "")];
        let settings = [&user, settings].concat();
        let process = skriptoteket_testing::service::Service::launched(directory.path(), &settings);
        wait_until("the service is listening", || {
            process.output().contains("the service is listening")
        });
        Self {
            process,
            _directory: directory,
        }
    }

    pub(crate) fn log(&self) -> String {
        self.process.output()
    }

    /// Sends a request with sensitive values in its headers.
    async fn send(
        &self,
        method: Method,
        path: &str,
        cookie: &str,
        body: Option<Value>,
    ) -> Response {
        let request = plain()
            .request(method, self.process.url(path))
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
            let url = self.process.management("/metrics");
            let answer = plain().get(url).send().await.unwrap();
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
    async fn stop(&mut self) {
        let clock = SystemClock::default();
        self.process.signal("TERM");
        let status = self.process.wait().await;
        assert!(status.success(), "{status}: {}", self.log());
        assert!(clock.monotonic() < STOP_LIMIT, "{:?}", clock.monotonic());
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
    for protocol in PROTOCOLS {
        let collector = Collector::start();
        let mut service = Service::start(&collector, protocol);

        let answer = service.log_in(NAME, PASSWORD).await;
        assert_eq!(answer.status(), 200);
        let cookie = cookie_of(&answer);
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
        service.stop().await;
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
    let collector = Collector::start();
    let endpoint = collector.endpoint(OtlpProtocol::HttpProtobuf);
    let mut service = Service::start_with(&[
        ("trusted_proxies", "192.0.2.0/24"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("OTEL_TRACES_SAMPLER_ARG", "0"),
    ]);
    for _ in 0..5 {
        let answer = service.send(Method::GET, "/api/session", "", None).await;
        assert_eq!(answer.status(), 401);
    }
    service.stop().await;
    let told = eventually("the last record arrives", || {
        let output = collector.output();
        output.contains("the service has stopped").then_some(output)
    });
    assert_eq!(spans(&told).len(), 0, "{told}");
    assert!(!told.contains(TRACE), "{told}");
}
