//! The cost of telemetry export for a session check, with the settings of `docker-compose.yml` and a real Collector.

use std::path::Path;

use skriptoteket::telemetry::OtlpProtocol;
use skriptoteket_testing::{
    collector::Collector,
    load::{CHEAP_LOGINS, cookie_script, promises::Promises},
};

use super::{
    Scale,
    ours::{CHECK, start_ours},
    rounds::{self, Case, PROCESSES},
};

/// The promised maximum of processor time per session check, as a multiple of that without telemetry.
const PROMISED: f64 = 1.03;

pub(crate) async fn compare(
    dir: &Path,
    scale: Scale,
    promises: &mut Promises,
) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir)?;
    let collector = Collector::start_as_shipped();
    let endpoint = collector.endpoint(OtlpProtocol::Grpc);
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
