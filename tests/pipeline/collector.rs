//! A real Collector with the shipped configuration.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use skriptoteket::{
    clock::{Clock, SystemClock},
    telemetry::{OtelSettings, OtlpProtocol, OtlpTarget, TraceSampler, exposition::Exposition},
};
use tempfile::TempDir;
use url::Url;

use crate::redis_servers::{free_port, spawn_for_life};

/// The time after which the Collector drops series without new data. Long, so that a busy machine may take any time
/// between an export and a look at the page.
const METRIC_EXPIRATION: Duration = Duration::from_hours(1);

/// More time than any step of a test needs.
const TIME_LIMIT: Duration = Duration::from_mins(1);

/// The file with settings that are merged over the shipped configuration.
const MORE: &str = "more.yaml";

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A running Collector on free loopback ports. It ends on drop, or with the test process however that ends.
pub(crate) struct Collector {
    ports: Ports,
    expiration: Duration,
    process: Child,
    directory: TempDir,
}

#[derive(Clone, Copy)]
struct Ports {
    grpc: SocketAddr,
    http: SocketAddr,
    page: SocketAddr,
    health: SocketAddr,
    own: SocketAddr,
}

impl Collector {
    /// Starts a Collector and waits until it is ready.
    pub(crate) fn start() -> Self {
        Self::start_with(METRIC_EXPIRATION)
    }

    /// Like [`Collector::start`], with this time after which series without new data are dropped.
    pub(crate) fn start_with(expiration: Duration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::start_in(directory, expiration)
    }

    /// Like [`Collector::start`], with TLS receivers: `tls` is this part of their configuration.
    pub(crate) fn start_with_tls(tls: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let more = format!(
            "receivers: {{otlp: {{protocols: {{grpc: {{tls: {tls}}}, http: {{tls: {tls}}}}}}}}}\n"
        );
        fs::write(directory.path().join(MORE), more).unwrap();
        Self::start_in(directory, METRIC_EXPIRATION)
    }

    fn start_in(directory: TempDir, expiration: Duration) -> Self {
        let ports = Ports::free();
        let process = spawn(ports, expiration, &directory);
        let mut collector = Self {
            ports,
            expiration,
            process,
            directory,
        };
        collector.wait();
        collector
    }

    /// Kills the process at once, as when a machine fails.
    pub(crate) fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Restarts it on the same ports. It has lost all its data.
    pub(crate) fn start_again(&mut self) {
        self.process = spawn(self.ports, self.expiration, &self.directory);
        self.wait();
    }

    fn wait(&mut self) {
        eventually("the Collector is ready", || {
            if let Some(status) = self.process.try_wait().unwrap() {
                panic!("the Collector ended with {status}:\n{}", self.output());
            }
            get(self.ports.health, "/")
        });
    }

    /// Returns settings that export all three signals to this Collector and serve a `/metrics` page.
    pub(crate) fn settings(&self, protocol: OtlpProtocol) -> OtelSettings {
        let target = |path: &str| {
            let mut endpoint = Url::parse(&self.endpoint(protocol)).unwrap();
            if protocol == OtlpProtocol::HttpProtobuf {
                endpoint.set_path(path);
            }
            Some(OtlpTarget::new(protocol, endpoint))
        };
        OtelSettings {
            disabled: false,
            metrics: target("/v1/metrics"),
            traces: target("/v1/traces"),
            logs: target("/v1/logs"),
            prometheus: true,
            // The tests flush.
            metric_export_interval: Duration::from_hours(1),
            sampler: TraceSampler::default(),
            resource: Vec::new(),
        }
    }

    /// Returns the endpoint of a protocol for all signals, as the value of `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub(crate) fn endpoint(&self, protocol: OtlpProtocol) -> String {
        match protocol {
            OtlpProtocol::Grpc => format!("http://{}", self.ports.grpc),
            OtlpProtocol::HttpProtobuf => format!("http://{}", self.ports.http),
        }
    }

    /// Returns the same endpoint with TLS, with the host name in its certificate.
    pub(crate) fn secure_endpoint(&self, protocol: OtlpProtocol) -> String {
        let port = match protocol {
            OtlpProtocol::Grpc => self.ports.grpc.port(),
            OtlpProtocol::HttpProtobuf => self.ports.http.port(),
        };
        format!("https://localhost:{port}")
    }

    /// Returns the addresses that Prometheus scrapes: the received metrics, and the Collector's own.
    pub(crate) const fn scraped(&self) -> [SocketAddr; 2] {
        [self.ports.page, self.ports.own]
    }

    /// Returns the page that Prometheus scrapes.
    pub(crate) fn page(&self) -> Exposition {
        let page = get(self.scraped()[0], "/metrics").expect("the Collector answers");
        Exposition::parse(&page).unwrap()
    }

    /// Returns the Collector's log: every received span and log record, and its own lines.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(self.directory.path().join("output")).unwrap()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // The test may have stopped it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Ports {
    fn free() -> Self {
        let [grpc, http, page, health, own] =
            [(); 5].map(|()| SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())));
        Self {
            grpc,
            http,
            page,
            health,
            own,
        }
    }
}

fn spawn(ports: Ports, expiration: Duration, directory: &TempDir) -> Child {
    let output = File::options()
        .create(true)
        .append(true)
        .open(directory.path().join("output"))
        .unwrap();
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL"])
        .arg(binary())
        .arg("--config")
        .arg(format!("{ROOT}/otel-collector/config.yaml"));
    let more = directory.path().join(MORE);
    if more.exists() {
        command.arg("--config").arg(more);
    }
    command
        .env("COLLECTOR_OTLP_GRPC", ports.grpc.to_string())
        .env("COLLECTOR_OTLP_HTTP", ports.http.to_string())
        .env("COLLECTOR_PROMETHEUS", ports.page.to_string())
        .env("COLLECTOR_HEALTH", ports.health.to_string())
        .env("COLLECTOR_SELF_HOST", ports.own.ip().to_string())
        .env("COLLECTOR_SELF_PORT", ports.own.port().to_string())
        .env(
            "COLLECTOR_METRIC_EXPIRATION",
            format!("{}ms", expiration.as_millis()),
        )
        .env("COLLECTOR_DEBUG_VERBOSITY", "detailed")
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output);
    spawn_for_life(command)
}

fn binary() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "no configuration is under test")]
    let given = std::env::var_os("SKRIPTOTEKET_TEST_COLLECTOR");
    let binary = given.map_or_else(
        || {
            let manifest = include_str!("../../otel-collector/builder.yaml");
            let version = manifest
                .lines()
                .find_map(|line| line.strip_prefix("  version: "))
                .unwrap();
            PathBuf::from(format!("{ROOT}/.cache/collector/{version}/otelcol"))
        },
        PathBuf::from,
    );
    assert!(
        binary.is_file(),
        "there is no Collector at {}: `make collector` builds it",
        binary.display()
    );
    binary
}

/// Sends a `GET` in plain HTTP/1.0. Returns `None` unless the status is 200.
fn get(from: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(from).ok()?;
    stream.set_read_timeout(Some(TIME_LIMIT)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {from}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?;
    (status == "200").then(|| body.into())
}

/// Polls until there is a result.
pub(crate) fn eventually<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let clock = SystemClock::default();
    while clock.monotonic() < TIME_LIMIT {
        if let Some(answer) = answer() {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{what}: not within {TIME_LIMIT:?}");
}
