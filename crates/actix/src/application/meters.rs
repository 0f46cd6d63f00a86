//! Where an application's metrics go.

use opentelemetry::metrics::{Meter, MeterProvider, noop::NoopMeterProvider};
#[cfg(feature = "traces")]
use skriptoteket_core::clock::Clock;
#[cfg(feature = "telemetry")]
use skriptoteket_telemetry::{OtelSettings, ServiceWide, Telemetry};
#[cfg(feature = "traces")]
use std::sync::Arc;
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
    #[cfg(feature = "telemetry")]
    pub(super) telemetry: Option<(Telemetry, ServiceWide)>,
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
            telemetry: None,
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
            telemetry: Some((telemetry, service_wide)),
        })
    }

    /// Decides which requests are traced.
    #[cfg(feature = "traces")]
    pub(super) fn traces(&self, clock: &Arc<dyn Clock>) -> RequestTraces {
        let telemetry = self.telemetry.as_ref();
        telemetry.map_or_else(RequestTraces::off, |(telemetry, _)| {
            telemetry.request_traces(Arc::clone(clock))
        })
    }

    /// Exports every counter at 0 before the first request.
    #[cfg(feature = "telemetry")]
    pub(super) async fn first_export(&self) {
        if let Some((telemetry, _)) = &self.telemetry {
            super::exports::first_export(telemetry.all_metrics()).await;
        }
    }
}
