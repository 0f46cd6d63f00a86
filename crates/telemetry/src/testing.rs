//! Metrics read in memory, for tests.
//!
//! ```
//! use skriptoteket_telemetry::Telemetry;
//!
//! let (telemetry, collected) = Telemetry::in_memory(&[]);
//! let logins = telemetry.meter().u64_counter("logins").build();
//! logins.add(1, &[]);
//! assert_eq!(collected.counter("logins", &[]), Some(1));
//! ```

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use opentelemetry::KeyValue;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{
        InstrumentKind, ManualReader, Pipeline, Temporality,
        data::{AggregatedMetrics, MetricData, ResourceMetrics, ScopeMetrics},
        reader::MetricReader,
    },
};

use super::{Telemetry, metrics, resource};
use crate::signals::Signals;
use skriptoteket_core::metric::Catalogue;

/// The labels of a series, sorted by key.
pub type Labels = Vec<(String, String)>;

/// Reads the current values of the instruments, by their OpenTelemetry names.
///
/// Every read collects again. Labels may be given in any order but must be complete.
#[derive(Clone, Debug)]
pub struct CollectedMetrics {
    readers: [SharedReader; 3],
    /// Keeps the readers working after the [`Telemetry`] is dropped.
    _providers: metrics::Providers,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Point {
    Counter(u64),
    Gauge(f64),
    Histogram(u64),
}

impl Telemetry {
    /// Creates telemetry of the metrics in `catalogue`, with a `/metrics` page and a second reader, which tests read.
    /// Nothing leaves the process and no thread is started.
    ///
    /// # Panics
    ///
    /// Never: a new registry accepts every collector.
    #[must_use]
    pub fn in_memory(catalogue: Catalogue) -> (Self, CollectedMetrics) {
        let readers: [SharedReader; 3] = std::array::from_fn(|_| SharedReader::default());
        let [recorded, observed, service_wide] = readers.clone();
        #[expect(clippy::expect_used, reason = "a new registry accepts every collector")]
        let providers = metrics::Builder::new(resource::of_this_process(&[]), catalogue)
            .reader(recorded, observed, move || Ok(service_wide.clone()))
            .page()
            .expect("a new registry")
            .build();
        let telemetry = Self {
            metrics: providers.clone(),
            signals: Signals::default(),
        };
        let collected = CollectedMetrics {
            readers,
            _providers: providers,
        };
        (telemetry, collected)
    }
}

impl CollectedMetrics {
    /// Returns the value of a counter's series, observed ones included; `None` if there is no such series.
    #[must_use]
    pub fn counter(&self, name: &str, labels: &[(&str, &str)]) -> Option<u64> {
        match self.point(name, labels)? {
            Point::Counter(n) => Some(n),
            Point::Gauge(_) | Point::Histogram(_) => None,
        }
    }

    /// Returns the value of a gauge's or an up-down counter's series; `None` if there is no such series.
    #[must_use]
    pub fn gauge(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        match self.point(name, labels)? {
            Point::Gauge(value) => Some(value),
            Point::Counter(_) | Point::Histogram(_) => None,
        }
    }

    /// Returns the number of values recorded in a histogram's series; `None` if there is no such series.
    #[must_use]
    pub fn histogram_count(&self, name: &str, labels: &[(&str, &str)]) -> Option<u64> {
        match self.point(name, labels)? {
            Point::Histogram(n) => Some(n),
            Point::Counter(_) | Point::Gauge(_) => None,
        }
    }

    /// Returns every existing series, sorted: the instrument's name and the labels.
    #[must_use]
    pub fn series(&self) -> Vec<(String, Labels)> {
        let mut series: Vec<_> = self
            .collect()
            .into_iter()
            .map(|(name, labels, _)| (name, labels))
            .collect();
        series.sort();
        series
    }

    /// Returns every series of a counter with its value, sorted.
    #[must_use]
    pub fn counters(&self) -> Vec<(String, Labels, u64)> {
        let value = |(name, labels, point)| match point {
            Point::Counter(n) => Some((name, labels, n)),
            Point::Gauge(_) | Point::Histogram(_) => None,
        };
        let mut counters: Vec<_> = self.collect().into_iter().filter_map(value).collect();
        counters.sort();
        counters
    }

    fn point(&self, name: &str, labels: &[(&str, &str)]) -> Option<Point> {
        let mut wanted: Labels = labels
            .iter()
            .map(|(key, value)| (String::from(*key), String::from(*value)))
            .collect();
        wanted.sort();
        let found = |(n, l, _): &(String, Labels, Point)| n == name && *l == wanted;
        let (_, _, point) = self.collect().into_iter().find(found)?;
        Some(point)
    }

    fn collect(&self) -> Vec<(String, Labels, Point)> {
        let mut points = Vec::new();
        for reader in &self.readers {
            let mut collected = ResourceMetrics::default();
            // After the shutdown there is nothing to read.
            if reader.collect(&mut collected).is_err() {
                continue;
            }
            for metric in collected.scope_metrics().flat_map(ScopeMetrics::metrics) {
                let read = match metric.data() {
                    AggregatedMetrics::U64(data) => read(data),
                    AggregatedMetrics::I64(data) => read(data),
                    AggregatedMetrics::F64(data) => read(data),
                };
                let name = String::from(metric.name());
                points.extend(read.into_iter().map(|(l, p)| (name.clone(), l, p)));
            }
        }
        points
    }
}

fn read<T: Number>(data: &MetricData<T>) -> Vec<(Labels, Point)> {
    match data {
        MetricData::Sum(sum) => sum
            .data_points()
            .map(|point| {
                let value = if sum.is_monotonic() {
                    Point::Counter(point.value().whole())
                } else {
                    Point::Gauge(point.value().real())
                };
                (labels(point.attributes()), value)
            })
            .collect(),
        MetricData::Gauge(gauge) => gauge
            .data_points()
            .map(|point| {
                let value = Point::Gauge(point.value().real());
                (labels(point.attributes()), value)
            })
            .collect(),
        MetricData::Histogram(histogram) => histogram
            .data_points()
            .map(|point| (labels(point.attributes()), Point::Histogram(point.count())))
            .collect(),
        MetricData::ExponentialHistogram(_) => Vec::new(),
    }
}

fn labels<'a>(attributes: impl Iterator<Item = &'a KeyValue>) -> Labels {
    let mut labels: Labels = attributes
        .map(|label| (label.key.to_string(), label.value.to_string()))
        .collect();
    labels.sort();
    labels
}

/// The number type of an instrument.
trait Number: Copy {
    fn whole(self) -> u64;
    fn real(self) -> f64;
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "tests use small numbers"
)]
mod numbers {
    use super::Number;

    impl Number for u64 {
        fn whole(self) -> u64 {
            self
        }
        fn real(self) -> f64 {
            self as f64
        }
    }

    impl Number for i64 {
        fn whole(self) -> u64 {
            self.unsigned_abs()
        }
        fn real(self) -> f64 {
            self as f64
        }
    }

    impl Number for f64 {
        fn whole(self) -> u64 {
            self as u64
        }
        fn real(self) -> f64 {
            self
        }
    }
}

/// A reader that can be read from outside the provider that owns it.
#[derive(Clone, Debug, Default)]
struct SharedReader(Arc<ManualReader>);

impl MetricReader for SharedReader {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, metrics: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(metrics)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}
