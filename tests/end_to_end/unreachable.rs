//! Collectors that never were there: a name that nobody knows, a port that refuses, a listener that swallows everything.

use std::{
    net::{Ipv4Addr, TcpListener},
    time::{Duration, Instant},
};

use crate::{
    process::{PASSWORD, Service, plain},
    redis_servers::free_port,
};

/// In which time a service has to be ready, also where a name server is asked in vain.
const START: Duration = Duration::from_secs(5);
/// In which time it has to end.
const STOP: Duration = Duration::from_secs(6);
/// For how long complaints are listened for: several exports of each signal.
const LISTENED: Duration = Duration::from_secs(8);

/// What a service that exports there does until its end.
async fn live_with(endpoint: String, protocol: &'static str) {
    let what = format!("{protocol} to {endpoint}");
    let dir = tempfile::tempdir().unwrap();
    let settings = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1000"),
    ];
    let begun = Instant::now();
    let mut service = Service::start(dir.path(), &settings).await;
    let started = begun.elapsed();
    assert!(started < START, "{what}: {started:?}");

    let heard = Instant::now();
    while heard.elapsed() < LISTENED {
        let begun = Instant::now();
        let answer = service.login(&plain(), "admin", PASSWORD).await;
        assert_eq!(answer.status(), 200, "{what}");
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(2), "{what}: {took:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let page = service.page().await;
    let logins = page.value("skriptoteket_logins_total{status=\"success\"}");
    assert!(logins > 10.0, "{what}: {logins}");
    let log = service.output();
    let complaints: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("\"WARN\"") || line.contains("\"ERROR\""))
        .collect();
    assert!(complaints.len() <= 1, "{what}: {complaints:#?}");

    service.signal("TERM");
    let begun = Instant::now();
    let status = service.wait().await;
    let took = begun.elapsed();
    assert!(
        status.success() && took < STOP,
        "{what}: {status}, {took:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_cannot_be_reached_costs_one_line_a_minute_and_nothing_else() {
    // It takes connections, as its backlog does, and reads nothing.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, free_port())).unwrap();
    let swallowing = silent.local_addr().unwrap().to_string();
    let refusing = format!("127.0.0.1:{}", free_port());
    let mut lives = Vec::new();
    for address in [swallowing, refusing, "collector.invalid:4317".into()] {
        for protocol in ["grpc", "http/protobuf"] {
            let endpoint = format!("http://{address}");
            lives.push(tokio::spawn(live_with(endpoint, protocol)));
        }
    }
    for life in lives {
        life.await.unwrap();
    }
}
