//! Where an application's metrics go.

use opentelemetry::metrics::{Meter, MeterProvider, noop::NoopMeterProvider};
#[cfg(feature = "traces")]
use skriptoteket_core::clock::Clock;
#[cfg(feature = "telemetry")]
use skriptoteket_sessions::census::CensusTaker;
#[cfg(feature = "telemetry")]
use skriptoteket_telemetry::{MetricsPage, OtelSettings, ServiceWide, Telemetry};
#[cfg(feature = "traces")]
use std::sync::Arc;
#[cfg(feature = "telemetry")]
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use uuid::Uuid;

use super::{BuildError, SessionMeters};
#[cfg(feature = "traces")]
use crate::traces::RequestTraces;

/// Where the meters come from.
pub(super) enum MeterSource {
    /// No metric is recorded.
    Nothing,
    /// The application's own provider.
    Application(Meter),
    /// The standard variables of OpenTelemetry.
    #[cfg(feature = "telemetry")]
    Environment,
    /// These settings.
    #[cfg(feature = "telemetry")]
    Settings(Box<OtelSettings>),
}

/// The meters, and the exporters behind them if they are ours.
pub(super) struct Meters {
    pub(super) meter: Meter,
    pub(super) sessions: SessionMeters,
    /// `None` if the exporters are not ours, or after the shutdown.
    #[cfg(feature = "telemetry")]
    telemetry: Mutex<Option<(Telemetry, ServiceWide)>>,
}

impl std::fmt::Debug for Meters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meters")
    }
}

impl Meters {
    /// Starts the exporters, if any. `instance` is the instance ID that all replicas share.
    #[cfg_attr(
        not(feature = "telemetry"),
        expect(clippy::unnecessary_wraps, reason = "exporters can fail to start")
    )]
    pub(super) fn new(source: MeterSource, instance: Uuid) -> Result<Self, BuildError> {
        match source {
            MeterSource::Application(meter) => Ok(Self::on(meter)),
            MeterSource::Nothing => {
                let _ = instance;
                Ok(Self::on(NoopMeterProvider::new().meter("skriptoteket")))
            }
            #[cfg(feature = "telemetry")]
            MeterSource::Environment => {
                let environment = skriptoteket_config::Environment::from_process();
                let settings = skriptoteket_config::otel_settings(&environment);
                let (settings, warnings) = settings.map_err(BuildError::Environment)?;
                for warning in warnings {
                    tracing::warn!("{warning}");
                }
                let telemetry = Telemetry::start(&settings, crate::CATALOGUE)?;
                Self::with_telemetry(telemetry, instance)
            }
            #[cfg(feature = "telemetry")]
            MeterSource::Settings(settings) => {
                let telemetry = Telemetry::start(&settings, crate::CATALOGUE)?;
                Self::with_telemetry(telemetry, instance)
            }
        }
    }

    fn on(meter: Meter) -> Self {
        Self {
            sessions: SessionMeters {
                own: vec![meter.clone()],
                service_wide: vec![meter.clone()],
            },
            meter,
            #[cfg(feature = "telemetry")]
            telemetry: Mutex::new(None),
        }
    }

    #[cfg(feature = "telemetry")]
    fn with_telemetry(telemetry: Telemetry, instance: Uuid) -> Result<Self, BuildError> {
        let service_wide = telemetry.service_wide(instance)?;
        Ok(Self {
            meter: telemetry.meter(),
            sessions: SessionMeters {
                own: telemetry.observed_meters(),
                service_wide: service_wide.meters(),
            },
            telemetry: Mutex::new(Some((telemetry, service_wide))),
        })
    }

    #[cfg(feature = "telemetry")]
    fn telemetry(&self) -> MutexGuard<'_, Option<(Telemetry, ServiceWide)>> {
        self.telemetry
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides which requests are traced.
    #[cfg(feature = "traces")]
    pub(super) fn traces(&self, clock: &Arc<dyn Clock>) -> RequestTraces {
        let telemetry = self.telemetry();
        telemetry
            .as_ref()
            .map_or_else(RequestTraces::off, |(telemetry, _)| {
                telemetry.request_traces(Arc::clone(clock))
            })
    }

    /// Returns the metrics page, if the exporters are ours.
    #[cfg(feature = "telemetry")]
    pub(super) fn page(&self) -> Option<MetricsPage> {
        let telemetry = self.telemetry();
        telemetry.as_ref().map(|(telemetry, _)| telemetry.page())
    }

    /// Exports every counter at 0 before the first request.
    #[cfg(feature = "telemetry")]
    pub(super) async fn first_export(&self) {
        let metrics = self.telemetry().as_ref().map(|it| it.0.all_metrics());
        if let Some(metrics) = metrics {
            super::exports::first_export(metrics).await;
        }
    }

    /// Counts the sessions once more, exports the count if the exporters are ours, and releases the lease.
    #[cfg(feature = "telemetry")]
    pub(super) async fn last_count(&self, census: &CensusTaker) {
        let service_wide = self.telemetry().as_ref().map(|it| it.1.clone());
        if service_wide.is_some() {
            super::exports::last_count(census, service_wide).await;
        } else {
            let _ = (census.count().await, census.resign().await);
        }
    }

    /// Exports what is not exported yet, and ends the exporters.
    #[cfg(feature = "telemetry")]
    pub(super) async fn shutdown(&self, limit: Duration) {
        let Some((telemetry, _)) = self.telemetry().take() else {
            return;
        };
        let ended = tokio::task::spawn_blocking(move || telemetry.shutdown(limit));
        if !matches!(ended.await, Ok(Ok(()))) {
            tracing::warn!("the last metrics were not sent");
        }
    }
}

/// Exporters wait for the Collector when they are dropped, which must not block async code.
#[cfg(feature = "telemetry")]
impl Drop for Meters {
    fn drop(&mut self) {
        if let Some(telemetry) = self.telemetry().take() {
            // If no thread can be started, the exporters are dropped here.
            let _ = std::thread::Builder::new()
                .name(String::from("telemetry-end"))
                .spawn(move || drop(telemetry));
        }
    }
}
