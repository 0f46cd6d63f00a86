//! The providers behind the instruments.

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

use super::{
    Job, MetricsPage, TelemetryError,
    instruments::{CATALOGUE, Instrument, SERVICE_LABELS, Values},
    resource, run_all,
};

/// The name of every meter.
const METER: &str = "skriptoteket";

/// Attribute sets of an instrument that has an attribute from the program: routes and statuses, operations of stores.
/// Three times what the whole API can produce.
const BOUNDED_SETS: usize = 1_000;

/// Makes the provider of one reader for what is service-wide, once it is known what the service calls itself.
type Source =
    Box<dyn Fn(MeterProviderBuilder) -> Result<SdkMeterProvider, TelemetryError> + Send + Sync>;

/// Collects readers.
pub(super) struct Builder {
    resource: Resource,
    recorded: MeterProviderBuilder,
    observed: Vec<SdkMeterProvider>,
    service_wide: Vec<Source>,
    registries: Vec<Registry>,
}

impl Builder {
    pub(super) fn new(resource: Resource) -> Self {
        Self {
            recorded: provider(&resource),
            resource,
            observed: Vec::new(),
            service_wide: Vec::new(),
            registries: Vec::new(),
        }
    }

    /// Adds a reader, which is three of a kind: one for what is recorded, one for what is observed, and one, made when
    /// it is needed, for what is observed of the service as a whole.
    pub(super) fn reader<R: MetricReader>(
        mut self,
        recorded: R,
        observed: R,
        service_wide: impl Fn() -> Result<R, TelemetryError> + Send + Sync + 'static,
    ) -> Self {
        self.recorded = self.recorded.with_reader(recorded);
        let observed = provider(&self.resource).with_reader(observed).build();
        self.observed.push(observed);
        self.service_wide.push(Box::new(move |provider| {
            Ok(provider.with_reader(service_wide()?).build())
        }));
        self
    }

    /// Adds the reader behind `/metrics`.
    pub(super) fn page(mut self) -> Result<Self, TelemetryError> {
        // A registry each, because the exporter's collectors describe nothing and a registry takes them for the same.
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
                sources: self.service_wide,
                built: OnceLock::new(),
            }),
            registries: self.registries,
        }
    }
}

/// One provider for what is recorded, and for each reader two for what is observed: of this process, and of the service.
#[derive(Clone, Debug)]
pub(super) struct Providers {
    recorded: SdkMeterProvider,
    observed: Vec<SdkMeterProvider>,
    service_wide: Arc<ServiceWideProviders>,
    registries: Vec<Registry>,
}

struct ServiceWideProviders {
    resource: Resource,
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
                .map(|source| source(provider(&resource)));
            // Whoever is second finds the first one's.
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
        self.recorded.meter(METER)
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

/// What exports the same truth on every replica of a service, under one `service.instance.id`. Cheap to clone.
///
/// Only the replica that observes may have values in it: the Collector takes all of them for one process.
#[derive(Clone, Debug)]
pub struct ServiceWide {
    providers: Vec<SdkMeterProvider>,
}

impl ServiceWide {
    /// The meters on which service-wide instruments are registered: one per reader, none where nothing reads.
    #[must_use]
    pub fn meters(&self) -> Vec<Meter> {
        meters(&self.providers)
    }

    /// Sends what is to be seen now. Blocks for at most `limit`: in async code, call it on a blocking thread.
    ///
    /// # Errors
    ///
    /// [`TelemetryError::Undelivered`] if an exporter failed or took longer.
    pub fn flush(&self, limit: Duration) -> Result<(), TelemetryError> {
        flush(&self.providers, limit)
    }
}

/// All that exports metrics. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AllMetrics {
    providers: Vec<SdkMeterProvider>,
}

impl AllMetrics {
    /// Sends what is to be seen now. Blocks for at most `limit`: in async code, call it on a blocking thread.
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
    providers.iter().map(|it| it.meter(METER)).collect()
}

fn provider(resource: &Resource) -> MeterProviderBuilder {
    SdkMeterProvider::builder()
        .with_resource(resource.clone())
        .with_view(limited)
}

/// Bounds the attribute sets of every instrument of the catalogue by what the catalogue says. Beyond it the SDK counts
/// into one series, `otel_metric_overflow="true"`. A low limit also saves memory: the SDK reserves room for all of it.
fn limited(instrument: &sdk::Instrument) -> Option<Stream> {
    let known = CATALOGUE.iter().find(|it| it.name == instrument.name())?;
    Stream::builder()
        .with_cardinality_limit(attribute_sets(known))
        .build()
        .ok()
}

fn attribute_sets(instrument: &Instrument) -> usize {
    let mut sets = 1;
    for attribute in instrument.attributes {
        match attribute.values {
            Values::Closed(values) => sets *= values.len(),
            Values::Bounded(_) => return BOUNDED_SETS,
            Values::Service => sets *= SERVICE_LABELS,
        }
    }
    sets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::ManualClock,
        telemetry::{
            Telemetry,
            exposition::Exposition,
            instruments::{HttpMetrics, LoginMetrics, RequestLabels, StoreMetrics, StoreOperation},
        },
    };

    fn page(telemetry: &Telemetry) -> Exposition {
        Exposition::parse(&telemetry.page().render().unwrap()).unwrap()
    }

    #[test]
    fn past_its_limit_an_instrument_counts_into_one_series() {
        let (telemetry, collected) = Telemetry::in_memory();
        let store = StoreMetrics::new(&telemetry.meter(), Arc::new(ManualClock::default()));
        let recorded = 3 * BOUNDED_SETS;
        for n in 0..recorded {
            let operation = StoreOperation {
                store: "accounts",
                operation: String::leak(format!("operation-{n}")),
            };
            store.finish(operation, store.start(), None);
        }

        let name = "skriptoteket.store_operation_duration";
        assert_eq!(collected.series().len(), BOUNDED_SETS + 1);
        let overflow = collected.histogram_count(name, &[("otel.metric.overflow", "true")]);
        assert_eq!(overflow, u64::try_from(recorded - BOUNDED_SETS).ok());
        let known = [("store", "accounts"), ("operation", "operation-0")];
        assert_eq!(collected.histogram_count(name, &known), Some(1));
    }

    #[test]
    fn the_limit_of_closed_sets_is_the_number_of_their_combinations() {
        let limit = |name| {
            CATALOGUE
                .iter()
                .find(|it| it.name == name)
                .map(attribute_sets)
        };
        assert_eq!(limit("skriptoteket.sessions_ended"), Some(4 * 7));
        assert_eq!(limit("skriptoteket.active_sessions"), Some(1));
        let of_services = limit("skriptoteket.failed_auths");
        assert_eq!(of_services, Some(13 * SERVICE_LABELS));
    }

    #[test]
    fn limits_leave_the_bounds_of_histograms_alone() {
        let (telemetry, _collected) = Telemetry::in_memory();
        let clock = Arc::new(ManualClock::default());
        let http = HttpMetrics::new(&telemetry.meter(), &[], clock);
        http.recorder()
            .request_started(RequestLabels::new("GET", false))
            .finish(None, 404);
        let page = page(&telemetry);
        let bounds: Vec<&str> = page
            .samples
            .iter()
            .filter_map(|it| it.labels.get("le").map(String::as_str))
            .collect();
        assert_eq!(bounds.first(), Some(&"0.0005"));
        assert_eq!(bounds.last(), Some(&"+Inf"));
        assert_eq!(bounds.len(), 16);
    }

    #[test]
    fn disabled_telemetry_takes_everything_and_shows_nothing() {
        let telemetry = Telemetry::disabled();
        let login = LoginMetrics::new(&telemetry.meter(), Arc::new(ManualClock::default()));
        login.login_started().finish(Ok(()));
        assert!(telemetry.observed_meters().is_empty());
        assert_eq!(telemetry.page().render().unwrap(), "");
    }

    #[test]
    fn a_page_that_has_gone_silent_is_an_error() {
        let (telemetry, _collected) = Telemetry::in_memory();
        let login = LoginMetrics::new(&telemetry.meter(), Arc::new(ManualClock::default()));
        let page = telemetry.page();
        assert!(page.render().unwrap().contains("skriptoteket_logins_total"));
        telemetry.shutdown(Duration::from_secs(5)).unwrap();
        login.login_started().finish(Ok(()));
        assert!(page.render().is_err());
    }
}
