//! Log records and spans are delivered, and no user can be identified from them.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use skriptoteket::{
    accounts::UserId,
    audit::{AuditEvent, AuditFilter, AuditMetrics, AuditRepository, AuditRow, AuditTrail, Kind},
    clock::{Clock, ManualClock, SystemClock, Timestamp},
    error::StoreError,
    http::metrics::{HttpMetrics, RequestLabels},
    login::{LoginFailure, metrics::LoginMetrics},
    telemetry::{
        LogFormat, LogSettings, OtlpProtocol, Telemetry, TelemetryError,
        tracing::{Output, install, subscriber},
    },
};
use skriptoteket_testing::{
    collector::Collector, isolation::passed_in_own_process, wait::eventually,
};
use tokio::runtime::Runtime;

use crate::pipeline::{LIMIT, PROTOCOLS, telemetry_to};

const NAME: &str = "astrid.lindqvist";
const PASSWORD: &str = "correct-horse-battery";
const COOKIE: &str = "c29tZWJvZHlzIGNvb2tpZQ";
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 77));
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// An unavailable store whose error contains more than may be exported.
#[derive(Debug)]
struct Away;

#[async_trait]
impl AuditRepository for Away {
    async fn append(&self, _: &[AuditEvent]) -> Result<(), StoreError> {
        Err(away())
    }

    async fn announce(&self, _: &AuditEvent) -> Result<(), StoreError> {
        Err(away())
    }

    async fn search(&self, _: &AuditFilter, _: u32) -> Result<Vec<AuditRow>, StoreError> {
        Err(away())
    }

    async fn prune(&self, _: Timestamp, _: u32) -> Result<u64, StoreError> {
        Err(away())
    }
}

fn away() -> StoreError {
    StoreError::Unavailable(format!("no answer for {NAME} ({PASSWORD}) from {ADDRESS}").into())
}

/// Sends a request that contains secrets in every place from which they could be exported.
fn one_request(runtime: &Runtime, telemetry: &Telemetry, user: UserId) {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let (meter, observed) = (telemetry.meter(), telemetry.observed_meters());
    let login = LoginMetrics::new(&meter, Arc::clone(&clock));
    let http = HttpMetrics::new(&meter, &observed, Arc::clone(&clock));

    let traceparent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let traces = telemetry.request_traces(Arc::clone(&clock));
    let trace = traces.begin(|| Some(&traceparent));
    let span = tracing::info_span!(
        target: "skriptoteket::request",
        "request",
        otel.kind = "server",
        http.route = "/api/login"
    );
    trace.join(&span);
    let _entered = span.entered();
    let request = http
        .recorder()
        .request_started(RequestLabels::new(NAME, false));
    login
        .login_started()
        .finish(Err(LoginFailure::InvalidCredentials));

    let (trail, writer) = AuditTrail::new(Arc::new(Away), AuditMetrics::new(&telemetry.meter()));
    trail.record(AuditEvent {
        user_id: Some(user),
        address: Some(ADDRESS),
        ..AuditEvent::new(Kind::Login, Timestamp::default(), "invalid_credentials")
    });
    // The writer logs at once that the store is unavailable; then it would retry until the store recovers.
    let tries = async { tokio::time::timeout(Duration::from_millis(50), writer.run()).await };
    assert!(runtime.block_on(tries).is_err());
    request.finish(Some("/api/login"), 401);
}

#[test]
fn log_records_and_spans_arrive_and_name_nobody() {
    let user = UserId::generate();
    for protocol in PROTOCOLS {
        let collector = Collector::start();
        let (runtime, telemetry) = telemetry_to(&collector, protocol);
        let log = LogSettings {
            filter: String::from("trace"),
            format: LogFormat::Json,
        };
        let output = Output {
            writer: io::sink,
            terminal: false,
        };
        let clock = Arc::new(SystemClock::default());
        let subscriber = subscriber(&log, &telemetry, output, clock).unwrap();
        tracing::subscriber::with_default(subscriber, || one_request(&runtime, &telemetry, user));
        telemetry.flush(LIMIT).unwrap();

        let exported = eventually("the span and the record arrive", || {
            let output = collector.output();
            let arrived = ["the audit trail could not be written", "Str(/api/login)"];
            arrived
                .iter()
                .all(|it| output.contains(it))
                .then_some(output)
        });
        // The record and the span belong to the caller's trace.
        assert!(exported.matches(TRACE).count() >= 2, "{exported}");
        let exported = format!("{exported}\n{:?}", collector.page());
        assert!(exported.contains("skriptoteket_login_failures_total"));
        let secrets = [NAME, PASSWORD, COOKIE];
        for secret in secrets
            .map(String::from)
            .into_iter()
            .chain([ADDRESS.to_string(), user.to_string()])
        {
            assert!(
                !exported.contains(&secret),
                "{protocol:?}: {secret} is told"
            );
        }
        telemetry.shutdown(LIMIT).unwrap();
    }
}

/// In a process of its own: the SDK logs errors on threads of its own, so only the subscriber of the whole process
/// receives them.
#[test]
fn failing_exports_are_one_line() {
    if passed_in_own_process(module_path!(), "failing_exports_are_one_line") {
        return;
    }
    let mut collector = Collector::start();
    let (_runtime, telemetry) = telemetry_to(&collector, OtlpProtocol::HttpProtobuf);
    let _login = LoginMetrics::new(&telemetry.meter(), Arc::new(ManualClock::default()));
    collector.stop();

    let log = LogSettings {
        filter: String::from("info"),
        format: LogFormat::Json,
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = Output {
        writer: Arc::new(file.reopen().unwrap()),
        terminal: false,
    };
    let clock = Arc::new(SystemClock::default());
    let subscriber = subscriber(&log, &telemetry, output, clock).unwrap();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let again = install(&log, &telemetry);
    assert!(matches!(again, Err(TelemetryError::Installed(_))));

    for _ in 0..3 {
        tracing::info!(target: "skriptoteket::test", "recorded while the Collector is down");
        assert!(telemetry.flush(LIMIT).is_err());
    }
    let lines = fs::read_to_string(file.path()).unwrap();
    let complaints: Vec<_> = lines
        .lines()
        .filter(|line| line.contains("xport"))
        .filter(|line| line.contains(&collector.endpoint(OtlpProtocol::HttpProtobuf)))
        .collect();
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert!(
        complaints[0].contains("Connection refused"),
        "{complaints:?}"
    );
    assert!(
        !lines.contains("ExportError") && !lines.contains("Export.Failed"),
        "{lines}"
    );
}
