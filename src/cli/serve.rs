//! `serve`: the service.

use std::{future::Future, io, path, sync::Arc, time::Duration};

use anyhow::Context;

use super::{Source, signals};
use crate::{
    app::{Application, warnings},
    catalogue::CATALOGUE,
    clock::SystemClock,
    config::{Config, Database},
    telemetry::{OtelSettings, Telemetry, tracing::install},
};

/// The share of telemetry in the two seconds in which a stop must complete; the application takes one and a half.
const TELEMETRY_FLUSH: Duration = Duration::from_millis(400);

pub(super) async fn run(source: &Source) -> anyhow::Result<()> {
    let config = source.load()?;
    let telemetry = Telemetry::start(&config.otel, CATALOGUE)?;
    install(&config.log, &telemetry)?;
    for warning in config.warnings.iter().cloned().chain(warnings::of(&config)) {
        tracing::warn!("{warning}");
    }
    let served = serve(&config, &telemetry).await;
    // On every path, because the last telemetry may show why it failed. On a thread that may block, while the runtime
    // that the exporters need still exists.
    let shutdown = tokio::task::spawn_blocking(move || telemetry.shutdown(TELEMETRY_FLUSH));
    if let Err(error) = shutdown.await.context("telemetry was not shut down")? {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the last telemetry was not delivered"
        );
    }
    served
}

async fn serve(config: &Config, telemetry: &Telemetry) -> anyhow::Result<()> {
    // Signals are received from here on, so that a stop during the start is handled too.
    let mut stop = Box::pin(stop_signal().context("signals cannot be received")?);
    let clock = Arc::new(SystemClock::default());
    let application = tokio::select! {
        built = Application::build(config, telemetry, clock) => built?,
        // A store that delays the start must not delay the stop.
        () = &mut stop => return Ok(()),
    };
    started(config, &application);
    application.run_until_stopped(stop).await?;
    tracing::info!("the service has stopped");
    Ok(())
}

/// Logs that the service is listening, with the information needed to inspect it; it contains no secret.
fn started(config: &Config, application: &Application) {
    let Database::Sqlite { path } = &config.database;
    let file = config.file.as_deref();
    let file = file.map_or_else(|| "none".into(), absolute);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        public_url = %application.public_url(),
        listen = %application.address(),
        management = %application.management_address(),
        accounts = absolute(path),
        sessions = config.store().session_location(),
        config = file,
        telemetry = telemetry(&config.otel),
        "the service is listening"
    );
}

fn absolute(path: &path::Path) -> String {
    let absolute = path::absolute(path);
    absolute.as_deref().unwrap_or(path).display().to_string()
}

/// Describes where telemetry is exported to.
fn telemetry(otel: &OtelSettings) -> String {
    if otel.disabled {
        return "off".into();
    }
    let mut targets: Vec<(String, Vec<&str>)> = Vec::new();
    for (signal, target) in [
        ("metrics", &otel.metrics),
        ("traces", &otel.traces),
        ("logs", &otel.logs),
    ] {
        let Some(target) = target else { continue };
        // The endpoints of one Collector differ only in their path.
        let place = target.collector();
        match targets.iter_mut().find(|(known, _)| *known == place) {
            Some((_, signals)) => signals.push(signal),
            None => targets.push((place, vec![signal])),
        }
    }
    let mut text: Vec<String> = targets
        .into_iter()
        .map(|(place, signals)| format!("{} by OTLP {place}", signals.join(", ")))
        .collect();
    if otel.prometheus {
        text.push("/metrics".into());
    }
    if text.is_empty() {
        return "off".into();
    }
    text.join("; ")
}

/// Completes at the first signal that requests a stop.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut stops = signals::stops()?;
    Ok(async move {
        let name = stops.recv().await.unwrap_or("none");
        tracing::info!(signal = name, "stopping");
    })
}
