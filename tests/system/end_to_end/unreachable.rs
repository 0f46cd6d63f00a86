//! Collectors that never existed: a name that does not resolve, a port that refuses connections, a listener that never
//! responds.

use std::{
    net::{Ipv4Addr, TcpListener},
    time::{Duration, Instant},
};

use skriptoteket_testing::{
    http::plain,
    ports::free_port,
    service::{PASSWORD, Service},
};

/// How much longer a start may take than that of a service without telemetry at the same time, even if a DNS query
/// times out.
const START: Duration = Duration::from_secs(5);
/// The same for the shutdown, which waits a while for data that cannot be delivered. Without a limit it would take
/// longer.
const STOP: Duration = Duration::from_secs(9);
/// Maximum time of a login. An export without a response is given up later than this.
const LOGIN: Duration = Duration::from_secs(8);
/// How long the log is watched for export errors: several exports of each signal.
const LISTENED: Duration = Duration::from_secs(8);
/// Minimum number of logins meanwhile.
const LOGINS: u32 = 10;

/// The duration of the start and of the shutdown.
struct Life {
    what: String,
    start: Duration,
    stop: Duration,
}

/// Runs a service that exports to this endpoint, or to none, until its end.
async fn live_with(exporter: Option<(String, &'static str)>) -> Life {
    let what = format!("{exporter:?}");
    let dir = tempfile::tempdir().unwrap();
    let settings = match &exporter {
        Some((endpoint, protocol)) => vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_METRIC_EXPORT_INTERVAL", "1000"),
        ],
        None => Vec::new(),
    };
    let started_at = Instant::now();
    let mut service = Service::start(dir.path(), &settings).await;
    let start = started_at.elapsed();

    let heard = Instant::now();
    let mut logins = 0;
    while heard.elapsed() < LISTENED || logins < LOGINS {
        let started_at = Instant::now();
        let answer = service.login(&plain(), "admin", PASSWORD).await;
        assert_eq!(answer.status(), 200, "{what}");
        let took = started_at.elapsed();
        assert!(took < LOGIN, "{what}: {took:?}");
        logins += 1;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let page = service.page().await;
    let counted = page.value("skriptoteket_logins_total{status=\"success\"}");
    assert!(
        counted >= f64::from(logins),
        "{what}: {counted} of {logins}"
    );

    let log = service.output();
    let complaints: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("\"WARN\"") || line.contains("\"ERROR\""))
        // Log lines about the settings at the start are not export errors.
        .filter(|line| !line.contains("skriptoteket::cli::serve"))
        .collect();
    let minutes = usize::try_from(heard.elapsed().as_secs() / 60).unwrap();
    assert!(complaints.len() <= 1 + minutes, "{what}: {complaints:#?}");

    service.signal("TERM");
    let started_at = Instant::now();
    let status = service.wait().await;
    let stop = started_at.elapsed();
    assert!(status.success(), "{what}: {status}");
    Life { what, start, stop }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_cannot_be_reached_costs_one_line_a_minute_and_nothing_else() {
    // Its backlog accepts connections, and nothing reads from them.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, free_port())).unwrap();
    let swallowing = silent.local_addr().unwrap().to_string();
    let refusing = format!("127.0.0.1:{}", free_port());
    let plain = tokio::spawn(live_with(None));
    let mut lives = Vec::new();
    for address in [swallowing, refusing, "collector.invalid:4317".into()] {
        for protocol in ["grpc", "http/protobuf"] {
            let exporter = (format!("http://{address}"), protocol);
            lives.push(tokio::spawn(live_with(Some(exporter))));
        }
    }
    let plain = plain.await.unwrap();
    for life in lives {
        let Life { what, start, stop } = life.await.unwrap();
        // Twice the other's time, because a slow machine is not equally slow for all processes.
        assert!(start < 2 * plain.start + START, "{what}: {start:?}");
        assert!(stop < 2 * plain.stop + STOP, "{what}: {stop:?}");
    }
}
