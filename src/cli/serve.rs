//! `serve`: the service.

use std::{future::Future, io, sync::Arc, time::Duration};

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Source;
use crate::{
    app::Application,
    clock::SystemClock,
    config::Config,
    telemetry::{Telemetry, tracing::install},
};

/// What telemetry gets of the two seconds in which a stop has to be done; the application takes one and a half.
const TELEMETRY_FLUSH: Duration = Duration::from_millis(400);

pub(super) async fn run(source: &Source) -> anyhow::Result<()> {
    let config = source.load()?;
    let telemetry = Telemetry::start(&config.otel)?;
    install(&config.log, &telemetry)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let served = serve(&config, &telemetry).await;
    // On every path: what was recorded last may say why it failed. On a thread that may block, while the runtime that
    // the exporters need is still there.
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
    // Heard from here on, so that a stop during the start is a stop as well.
    let mut stop = Box::pin(stop_signal().context("signals cannot be received")?);
    let clock = Arc::new(SystemClock::default());
    let application = tokio::select! {
        built = Application::build(config, telemetry, clock) => built?,
        // A store that makes the start wait does not make the stop wait.
        () = &mut stop => return Ok(()),
    };
    tracing::info!(
        listen = %application.address(),
        management = %application.management_address(),
        "the service is listening"
    );
    application.run_until_stopped(stop).await?;
    tracing::info!("the service has stopped");
    Ok(())
}

/// Ready at the first Ctrl-C or SIGTERM.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt: Signal = signal(SignalKind::interrupt())?;
    let mut terminate: Signal = signal(SignalKind::terminate())?;
    Ok(async move {
        let name = tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        };
        tracing::info!(signal = name, "stopping");
    })
}
