//! A real Collector with the shipped configuration.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use skriptoteket::telemetry::{
    OtelSettings, OtlpProtocol, OtlpTarget, TraceSampler, exposition::Exposition,
};
use tempfile::TempDir;
use url::Url;

use crate::{
    files::{in_repository, read},
    ports::free_port,
    process::spawn_for_life,
    wait::{TIME_LIMIT, eventually},
};

/// The time after which the Collector drops series without new data. Long, so that a busy machine may take any time
/// between an export and a look at the page.
const METRIC_EXPIRATION: Duration = Duration::from_hours(1);

/// The file with settings that are merged over the shipped configuration.
const MORE: &str = "more.yaml";

/// A running Collector on free loopback ports. It ends on drop, or with the test process however that ends.
#[derive(Debug)]
pub struct Collector {
    ports: Ports,
    mode: Mode,
    process: Child,
    directory: TempDir,
}

/// What differs from the shipped configuration.
#[derive(Clone, Copy, Debug)]
enum Mode {
    /// Nothing but the addresses. The log is discarded.
    Shipped,
    /// The log has every span and log record, and series without new data are dropped after this time.
    Told(Duration),
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    grpc: SocketAddr,
    http: SocketAddr,
    page: SocketAddr,
    health: SocketAddr,
    own: SocketAddr,
}

impl Collector {
    /// Starts a Collector and waits until it is ready.
    pub fn start() -> Self {
        Self::start_with(METRIC_EXPIRATION)
    }

    /// Like [`Collector::start`], with this time after which series without new data are dropped.
    pub fn start_with(expiration: Duration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::start_in(directory, Mode::Told(expiration))
    }

    /// Starts a Collector as it runs in production, for measurements. It has no [`Collector::output`].
    pub fn start_as_shipped() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::start_in(directory, Mode::Shipped)
    }

    /// Like [`Collector::start`], with TLS receivers: `tls` is this part of their configuration.
    pub fn start_with_tls(tls: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let more = format!(
            "receivers: {{otlp: {{protocols: {{grpc: {{tls: {tls}}}, http: {{tls: {tls}}}}}}}}}\n"
        );
        fs::write(directory.path().join(MORE), more).unwrap();
        Self::start_in(directory, Mode::Told(METRIC_EXPIRATION))
    }

    fn start_in(directory: TempDir, mode: Mode) -> Self {
        let ports = Ports::free();
        let process = spawn(ports, mode, &directory);
        let mut collector = Self {
            ports,
            mode,
            process,
            directory,
        };
        collector.wait();
        collector
    }

    /// Kills the process at once, as when a machine fails.
    pub fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Restarts it on the same ports. It has lost all its data.
    pub fn start_again(&mut self) {
        self.process = spawn(self.ports, self.mode, &self.directory);
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
    pub fn settings(&self, protocol: OtlpProtocol) -> OtelSettings {
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
    pub fn endpoint(&self, protocol: OtlpProtocol) -> String {
        match protocol {
            OtlpProtocol::Grpc => format!("http://{}", self.ports.grpc),
            OtlpProtocol::HttpProtobuf => format!("http://{}", self.ports.http),
        }
    }

    /// Returns the same endpoint with TLS, with the host name in its certificate.
    pub fn secure_endpoint(&self, protocol: OtlpProtocol) -> String {
        let port = match protocol {
            OtlpProtocol::Grpc => self.ports.grpc.port(),
            OtlpProtocol::HttpProtobuf => self.ports.http.port(),
        };
        format!("https://localhost:{port}")
    }

    /// Returns the addresses that Prometheus scrapes: the received metrics, and the Collector's own.
    pub const fn scraped(&self) -> [SocketAddr; 2] {
        [self.ports.page, self.ports.own]
    }

    /// Returns the page that Prometheus scrapes.
    pub fn page(&self) -> Exposition {
        let page = get(self.scraped()[0], "/metrics").expect("the Collector answers");
        Exposition::parse(&page).unwrap()
    }

    /// Returns the Collector's log: every received span and log record, and its own lines.
    pub fn output(&self) -> String {
        fs::read_to_string(self.directory.path().join("output")).unwrap_or_default()
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

fn spawn(ports: Ports, mode: Mode, directory: &TempDir) -> Child {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL"])
        .arg(binary())
        .arg("--config")
        .arg(in_repository("otel-collector/config.yaml"));
    let additions = directory.path().join(MORE);
    if additions.exists() {
        command.arg("--config").arg(additions);
    }
    command
        .env("COLLECTOR_OTLP_GRPC", ports.grpc.to_string())
        .env("COLLECTOR_OTLP_HTTP", ports.http.to_string())
        .env("COLLECTOR_PROMETHEUS", ports.page.to_string())
        .env("COLLECTOR_HEALTH", ports.health.to_string())
        .env("COLLECTOR_SELF_HOST", ports.own.ip().to_string())
        .env("COLLECTOR_SELF_PORT", ports.own.port().to_string())
        .stdin(Stdio::null());
    match mode {
        Mode::Shipped => command.stdout(Stdio::null()).stderr(Stdio::null()),
        Mode::Told(expiration) => {
            let output = File::options()
                .create(true)
                .append(true)
                .open(directory.path().join("output"))
                .unwrap();
            command
                .env(
                    "COLLECTOR_METRIC_EXPIRATION",
                    format!("{}ms", expiration.as_millis()),
                )
                .env("COLLECTOR_DEBUG_VERBOSITY", "detailed")
                .stdout(output.try_clone().unwrap())
                .stderr(output)
        }
    };
    spawn_for_life(command)
}

fn binary() -> PathBuf {
    let given = std::env::var_os("SKRIPTOTEKET_TEST_COLLECTOR");
    let binary = given.map_or_else(
        || {
            let manifest = read("otel-collector/builder.yaml");
            let version = manifest
                .lines()
                .find_map(|line| line.strip_prefix("  version: "))
                .unwrap();
            in_repository(&format!(".cache/collector/{version}/otelcol"))
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
