//! The cost of telemetry export for a session check, with the settings of `docker-compose.yml` and a real Collector.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};

use super::{
    Scale,
    load::{CHEAP_LOGINS, cookie_script, promises::Promises},
    ours::{CHECK, start_ours},
    redis_servers::{free_port, spawn_for_life},
    rounds::{self, Case, PROCESSES},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The promised maximum of processor time per session check, as a multiple of that without telemetry.
const PROMISED: f64 = 1.03;

/// Maximum time until the Collector listens.
const TIME_LIMIT: Duration = Duration::from_secs(20);

pub(crate) async fn compare(
    dir: &Path,
    scale: Scale,
    promises: &mut Promises,
) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir)?;
    let collector = Collector::start()?;
    let endpoint = format!("http://{}", collector.otlp);
    let composed = composed(&endpoint);
    let exporting = [CHEAP_LOGINS, &composed].concat();
    let off = [CHEAP_LOGINS, &[("OTEL_SDK_DISABLED", "true")]].concat();
    let settings: [&[_]; 3] = [&off, CHEAP_LOGINS, &exporting];
    let mut kinds = Vec::new();
    for (kind, settings) in settings.into_iter().enumerate() {
        let mut processes = Vec::new();
        for n in 0..PROCESSES {
            let name = format!("{kind}-{n}");
            let server = start_ours(&dir.join(&name), settings).await?;
            let cookie = server.login().await?;
            processes.push((server, cookie_script(dir, &(name + ".lua"), &[cookie])?));
        }
        kinds.push(processes);
    }
    let case = |name, kind: usize| {
        let (server, script) = &kinds[kind][0];
        let more = kinds[kind][1..].iter();
        more.fold(
            Case::new(name, server, CHECK, script, 0),
            |case, (server, script)| case.and(server, CHECK, script),
        )
    };
    let mut cases = [
        case("no telemetry", 0),
        case("/metrics alone", 1),
        case("OTLP as Compose configures it", 2).costs_at_most(PROMISED),
    ];
    let what = "Session checks, what telemetry costs";
    rounds::compare(what, &mut cases, scale.in_small_turns(), promises)
}

/// Returns the `OTEL_…` variables of the service in `docker-compose.yml`, with another endpoint.
fn composed(endpoint: &str) -> Vec<(&'static str, &str)> {
    let lines = include_str!("../../docker-compose.yml").lines();
    let variables = lines.filter_map(|line| line.trim().split_once(": "));
    let mut variables: Vec<(&str, &str)> = variables
        .filter(|(name, _)| name.starts_with("OTEL_"))
        .map(|(name, value)| (name, value.trim_matches('"')))
        .collect();
    for (name, value) in &mut variables {
        if *name == "OTEL_EXPORTER_OTLP_ENDPOINT" {
            *value = endpoint;
        }
    }
    variables
}

/// A Collector with the shipped configuration. It is killed when this is dropped.
struct Collector {
    otlp: SocketAddr,
    process: Child,
}

impl Collector {
    fn start() -> anyhow::Result<Self> {
        let [grpc, http, page, health, own] =
            [(); 5].map(|()| SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())));
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL"])
            .arg(binary()?)
            .arg("--config")
            .arg(format!("{ROOT}/otel-collector/config.yaml"))
            .env("COLLECTOR_OTLP_GRPC", grpc.to_string())
            .env("COLLECTOR_OTLP_HTTP", http.to_string())
            .env("COLLECTOR_PROMETHEUS", page.to_string())
            .env("COLLECTOR_HEALTH", health.to_string())
            .env("COLLECTOR_SELF_HOST", own.ip().to_string())
            .env("COLLECTOR_SELF_PORT", own.port().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut collector = Self {
            otlp: grpc,
            process: spawn_for_life(command),
        };
        let begun = Instant::now();
        while TcpStream::connect(grpc).is_err() {
            if let Some(status) = collector.process.try_wait()? {
                bail!("the Collector ended: {status}");
            }
            ensure!(
                begun.elapsed() < TIME_LIMIT,
                "the Collector does not listen"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(collector)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // It may have ended on its own.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn binary() -> anyhow::Result<PathBuf> {
    let manifest = include_str!("../../otel-collector/builder.yaml");
    let mut versions = manifest
        .lines()
        .filter_map(|it| it.strip_prefix("  version: "));
    let version = versions.next().unwrap_or_default();
    let binary = PathBuf::from(format!("{ROOT}/.cache/collector/{version}/otelcol"));
    ensure!(
        binary.is_file(),
        "there is no Collector at {}: `make collector` builds it",
        binary.display()
    );
    Ok(binary)
}
