//! The meter providers behind the instruments.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use opentelemetry::metrics::{Meter, MeterProvider};
use opentelemetry_sdk::{
    Resource,
    metrics::{self as sdk, MeterProviderBuilder, SdkMeterProvider, Stream, reader::MetricReader},
};
use prometheus::Registry;
use uuid::Uuid;

use super::{Job, MetricsPage, TelemetryError, resource, run_all};
use skriptoteket_core::metric::Catalogue;

/// The name of the instrumentation scope of metrics and spans.
pub(super) const SCOPE: &str = "skriptoteket";

/// Creates the provider of one reader for the service-wide metrics, once the instance ID of the service is known.
type Source =
    Box<dyn Fn(MeterProviderBuilder) -> Result<SdkMeterProvider, TelemetryError> + Send + Sync>;

/// Collects readers.
pub(super) struct Builder {
    resource: Resource,
    catalogue: Catalogue,
    recorded: MeterProviderBuilder,
    observed: Vec<SdkMeterProvider>,
    service_wide: Vec<Source>,
    registries: Vec<Registry>,
}

impl Builder {
    pub(super) fn new(resource: Resource, catalogue: Catalogue) -> Self {
        Self {
            recorded: provider(&resource, catalogue),
            resource,
            catalogue,
            observed: Vec::new(),
            service_wide: Vec::new(),
            registries: Vec::new(),
        }
    }

    /// Adds a reader, which consists of three: one for synchronous instruments, one for observed ones, and one for
    /// observed service-wide instruments, created on first use.
    pub(super) fn reader<R: MetricReader>(
        mut self,
        recorded: R,
        observed: R,
        service_wide: impl Fn() -> Result<R, TelemetryError> + Send + Sync + 'static,
    ) -> Self {
        self.recorded = self.recorded.with_reader(recorded);
        let observed = provider(&self.resource, self.catalogue)
            .with_reader(observed)
            .build();
        self.observed.push(observed);
        self.service_wide.push(Box::new(move |provider| {
            Ok(provider.with_reader(service_wide()?).build())
        }));
        self
    }

    /// Adds the reader of the `/metrics` page.
    pub(super) fn page(mut self) -> Result<Self, TelemetryError> {
        // One registry each: the exporter's collectors have no descriptors, so a registry takes them for the same
        // collector.
        let registries = [Registry::new(), Registry::new(), Registry::new()];
        self.registries.extend(registries.iter().cloned());
        let exporter = |registry: &Registry| {
            opentelemetry_prometheus::exporter()
                .with_registry(registry.clone())
                .without_target_info()
                .scope_info_enabled(false)
                .build()
                .map_err(TelemetryError::Page)
        };
        let [recorded, observed, service_wide] = registries;
        let (recorded, observed) = (exporter(&recorded)?, exporter(&observed)?);
        Ok(self.reader(recorded, observed, move || exporter(&service_wide)))
    }

    pub(super) fn build(self) -> Providers {
        Providers {
            recorded: self.recorded.build(),
            observed: self.observed,
            service_wide: Arc::new(ServiceWideProviders {
                resource: self.resource,
                catalogue: self.catalogue,
                sources: self.service_wide,
                built: OnceLock::new(),
            }),
            registries: self.registries,
        }
    }
}

/// One provider for synchronous instruments, and two per reader for observed ones: those of this process, and those
/// of the service.
#[derive(Clone, Debug)]
pub(super) struct Providers {
    recorded: SdkMeterProvider,
    observed: Vec<SdkMeterProvider>,
    service_wide: Arc<ServiceWideProviders>,
    registries: Vec<Registry>,
}

struct ServiceWideProviders {
    resource: Resource,
    catalogue: Catalogue,
    sources: Vec<Source>,
    built: OnceLock<Vec<SdkMeterProvider>>,
}

impl fmt::Debug for ServiceWideProviders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServiceWideProviders")
            .field(&self.built)
            .finish()
    }
}

impl ServiceWideProviders {
    fn of(&self, instance: Uuid) -> Result<&[SdkMeterProvider], TelemetryError> {
        if self.built.get().is_none() {
            let resource = resource::of_the_service(&self.resource, instance);
            let made = self
                .sources
                .iter()
                .map(|source| source(provider(&resource, self.catalogue)));
            // If another thread was faster, its providers are used.
            let _ = self.built.set(made.collect::<Result<_, _>>()?);
        }
        Ok(self.made())
    }

    fn made(&self) -> &[SdkMeterProvider] {
        self.built.get().map_or(&[], Vec::as_slice)
    }
}

impl Providers {
    pub(super) fn meter(&self) -> Meter {
        self.recorded.meter(SCOPE)
    }

    pub(super) fn observed_meters(&self) -> Vec<Meter> {
        meters(&self.observed)
    }

    pub(super) fn service_wide(&self, instance: Uuid) -> Result<ServiceWide, TelemetryError> {
        let providers = self.service_wide.of(instance)?.to_vec();
        Ok(ServiceWide { providers })
    }

    pub(super) fn exported(&self) -> AllMetrics {
        AllMetrics {
            providers: self.all(),
        }
    }

    pub(super) fn rendered(&self) -> MetricsPage {
        MetricsPage::new(self.registries.clone())
    }

    pub(super) fn all(&self) -> Vec<SdkMeterProvider> {
        let mut all = self.observed.clone();
        all.extend_from_slice(self.service_wide.made());
        all.push(self.recorded.clone());
        all
    }
}

/// Exports the metrics that have the same value on every replica of a service, under one `service.instance.id`. Cheap
/// to clone.
///
/// Only the observer may have values in it, because the Collector takes all replicas for one process.
#[derive(Clone, Debug)]
pub struct ServiceWide {
    providers: Vec<SdkMeterProvider>,
}

impl ServiceWide {
    /// Returns the meters for service-wide instruments: one per reader, none if there is no reader.
    #[must_use]
    pub fn meters(&self) -> Vec<Meter> {
        meters(&self.providers)
    }

    /// Exports the current values. Blocks for at most `limit`: in async code, call it on a blocking thread.
    ///
    /// # Errors
    ///
    /// [`TelemetryError::Undelivered`] if an exporter failed or took longer.
    pub fn flush(&self, limit: Duration) -> Result<(), TelemetryError> {
        flush(&self.providers, limit)
    }
}

/// All metric exporters. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AllMetrics {
    providers: Vec<SdkMeterProvider>,
}

impl AllMetrics {
    /// Exports the current values. Blocks for at most `limit`: in async code, call it on a blocking thread.
    ///
    /// # Errors
    ///
    /// [`TelemetryError::Undelivered`] if an exporter failed or took longer.
    pub fn flush(&self, limit: Duration) -> Result<(), TelemetryError> {
        flush(&self.providers, limit)
    }
}

fn flush(providers: &[SdkMeterProvider], limit: Duration) -> Result<(), TelemetryError> {
    let flush = |provider: SdkMeterProvider| -> Job { Box::new(move || provider.force_flush()) };
    run_all(providers.iter().cloned().map(flush).collect(), limit)
}

fn meters(providers: &[SdkMeterProvider]) -> Vec<Meter> {
    providers.iter().map(|it| it.meter(SCOPE)).collect()
}

fn provider(resource: &Resource, catalogue: Catalogue) -> MeterProviderBuilder {
    SdkMeterProvider::builder()
        .with_resource(resource.clone())
        .with_view(move |instrument| limited(instrument, catalogue))
}

/// Limits the attribute sets of every instrument of the catalogue to the number that the catalogue declares. Above it
/// the SDK counts into one series, `otel_metric_overflow="true"`. A low limit also saves memory, because the SDK
/// reserves space for all sets.
fn limited(instrument: &sdk::Instrument, catalogue: Catalogue) -> Option<Stream> {
    let mut all = catalogue.iter().copied().flatten();
    let known = all.find(|it| it.name == instrument.name())?;
    Stream::builder()
        .with_cardinality_limit(known.attribute_sets())
        .build()
        .ok()
}
