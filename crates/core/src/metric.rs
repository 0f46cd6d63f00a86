//! Declarations of metrics and of their labels.
//!
//! A module declares each of its metrics once, with [`metrics!`](crate::metrics), and builds its instruments from the
//! declarations. The catalogue, the documentation and the checks of the dashboards read the same declarations.
//!
//! | file | what is in it |
//! |---|---|
//! | `metric` | metrics, their attributes, and the instruments that are built from them |
//! | `label` | labels with a closed set of values |

mod label;

use std::panic::{AssertUnwindSafe, catch_unwind};

use opentelemetry::metrics::{AsyncInstrument, Counter, Histogram, Meter};

pub use label::{Label, LabelledCounter};

/// The metrics of a program, by domain.
pub type Catalogue = &'static [&'static [Metric]];

/// The kind of an instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only increases; recorded when events happen.
    Counter,
    /// Only increases; read from a snapshot on collection.
    ObservableCounter,
    /// Goes up and down; read from a snapshot on collection.
    ObservableGauge,
    /// Goes up and down, and is additive across instances; read on collection.
    ObservableUpDownCounter,
    /// A distribution.
    Histogram,
}

impl Kind {
    /// Returns the name of the kind.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::ObservableCounter => "observable counter",
            Self::ObservableGauge => "observable gauge",
            Self::ObservableUpDownCounter => "observable up-down counter",
            Self::Histogram => "histogram",
        }
    }
}

/// How values of several instances are aggregated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The same value whichever replica exports it, and only one of them does: aggregate with `max` over instances.
    ServiceWide,
    /// The value of one process: aggregate with `sum` over instances.
    PerInstance,
}

impl Scope {
    /// Returns the name of the scope.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ServiceWide => "service-wide",
            Self::PerInstance => "per instance",
        }
    }
}

/// The possible values of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// One of these.
    Closed(&'static [&'static str]),
    /// One of a small set that the program defines elsewhere; described in words.
    Bounded(&'static str),
    /// The ID of a registered service, or `_other`: at most [`SERVICE_LABELS`] during the life of a process.
    Service,
}

/// Maximum number of values of `service_id`, `_other` included. It exceeds the number of services that can be
/// registered at a time, so that services can be deleted and registered while a process runs.
pub const SERVICE_LABELS: usize = 1_025;

/// Maximum number of attribute sets of an instrument with an attribute that the program defines, for example routes
/// and statuses or operations of stores. Three times what the whole API can produce.
pub const BOUNDED_SETS: usize = 1_000;

/// An attribute of an instrument; a label in Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// The OpenTelemetry name; in Prometheus dots become underscores.
    pub key: &'static str,
    /// Its possible values.
    pub values: Values,
}

impl Attribute {
    /// Returns the name of the label in Prometheus.
    #[must_use]
    pub fn label(&self) -> String {
        self.key.replace('.', "_")
    }

    /// Creates an attribute with these values.
    #[must_use]
    pub const fn closed(key: &'static str, values: &'static [&'static str]) -> Self {
        Self {
            key,
            values: Values::Closed(values),
        }
    }

    /// Creates an attribute whose values are defined elsewhere; `values` says where.
    #[must_use]
    pub const fn bounded(key: &'static str, values: &'static str) -> Self {
        Self {
            key,
            values: Values::Bounded(values),
        }
    }

    /// The ID of a registered service, or `_other`.
    pub const SERVICE_ID: Self = Self {
        key: "service_id",
        values: Values::Service,
    };
}

/// The declaration of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// The OpenTelemetry name.
    pub name: &'static str,
    /// The kind of the instrument.
    pub kind: Kind,
    /// The UCUM unit, or a singular in braces.
    pub unit: &'static str,
    /// Its attributes.
    pub attributes: &'static [Attribute],
    /// What it measures, in one line: the `HELP` text in Prometheus.
    pub description: &'static str,
    /// How values of several instances are aggregated.
    pub scope: Scope,
}

impl Metric {
    /// Returns the Prometheus name, which is the same on the `/metrics` page and from the Collector: dots become
    /// underscores, seconds add `_seconds`, counters `_total`.
    #[must_use]
    pub fn prometheus(&self) -> String {
        let base = self.name.replace('.', "_");
        let unit = if self.unit == "s" { "_seconds" } else { "" };
        let is_counter = matches!(self.kind, Kind::Counter | Kind::ObservableCounter);
        let total = if is_counter { "_total" } else { "" };
        format!("{base}{unit}{total}")
    }

    /// Returns the maximum number of attribute sets: the combinations of closed values, or [`BOUNDED_SETS`] if an
    /// attribute is not closed.
    #[must_use]
    pub fn attribute_sets(&self) -> usize {
        let mut sets = 1;
        for attribute in self.attributes {
            match attribute.values {
                Values::Closed(values) => sets *= values.len(),
                Values::Bounded(_) => return BOUNDED_SETS,
                Values::Service => sets *= SERVICE_LABELS,
            }
        }
        sets
    }

    /// Builds the counter.
    #[must_use]
    pub fn counter(&self, meter: &Meter) -> Counter<u64> {
        debug_assert_eq!(self.kind, Kind::Counter, "{}", self.name);
        meter
            .u64_counter(self.name)
            .with_unit(self.unit)
            .with_description(self.description)
            .build()
    }

    /// Builds the histogram with these upper bounds.
    #[must_use]
    pub fn histogram(&self, meter: &Meter, bounds: &[f64]) -> Histogram<f64> {
        debug_assert_eq!(self.kind, Kind::Histogram, "{}", self.name);
        meter
            .f64_histogram(self.name)
            .with_unit(self.unit)
            .with_description(self.description)
            .with_boundaries(bounds.to_vec())
            .build()
    }

    /// Registers the observable counter. `callback` runs on an exporter's thread and must not block.
    pub fn observable_counter(
        &self,
        meter: &Meter,
        callback: impl Fn(&dyn AsyncInstrument<u64>) + Send + Sync + 'static,
    ) {
        debug_assert_eq!(self.kind, Kind::ObservableCounter, "{}", self.name);
        meter
            .u64_observable_counter(self.name)
            .with_unit(self.unit)
            .with_description(self.description)
            .with_callback(guarded(callback))
            .build();
    }

    /// Registers the observable gauge. `callback` runs on an exporter's thread and must not block.
    pub fn observable_gauge(
        &self,
        meter: &Meter,
        callback: impl Fn(&dyn AsyncInstrument<u64>) + Send + Sync + 'static,
    ) {
        debug_assert_eq!(self.kind, Kind::ObservableGauge, "{}", self.name);
        meter
            .u64_observable_gauge(self.name)
            .with_unit(self.unit)
            .with_description(self.description)
            .with_callback(guarded(callback))
            .build();
    }

    /// Like [`Metric::observable_gauge`], for values with fractions.
    pub fn observable_gauge_f64(
        &self,
        meter: &Meter,
        callback: impl Fn(&dyn AsyncInstrument<f64>) + Send + Sync + 'static,
    ) {
        debug_assert_eq!(self.kind, Kind::ObservableGauge, "{}", self.name);
        meter
            .f64_observable_gauge(self.name)
            .with_unit(self.unit)
            .with_description(self.description)
            .with_callback(guarded(callback))
            .build();
    }

    /// Registers the observable up-down counter. `callback` runs on an exporter's thread and must not block.
    pub fn observable_up_down_counter(
        &self,
        meter: &Meter,
        callback: impl Fn(&dyn AsyncInstrument<i64>) + Send + Sync + 'static,
    ) {
        debug_assert_eq!(self.kind, Kind::ObservableUpDownCounter, "{}", self.name);
        meter
            .i64_observable_up_down_counter(self.name)
            .with_unit(self.unit)
            .with_description(self.description)
            .with_callback(guarded(callback))
            .build();
    }
}

/// Contains a panic inside a callback: in SDK 0.33 it would end the export thread and leave `/metrics` empty
/// permanently.
fn guarded<T>(
    callback: impl Fn(&dyn AsyncInstrument<T>) + Send + Sync + 'static,
) -> impl Fn(&dyn AsyncInstrument<T>) + Send + Sync + 'static {
    move |observer| {
        if catch_unwind(AssertUnwindSafe(|| callback(observer))).is_err() {
            tracing::error!("an instrument's callback panicked; its series are absent");
        }
    }
}

/// Declares the metrics of a module: one constant for each, and all of them as `METRICS`.
///
/// A row is `NAME = Kind("opentelemetry.name", "unit", Scope, [attributes], "description");`.
#[macro_export]
macro_rules! metrics {
    ($($vis:vis $ident:ident = $kind:ident($name:literal, $unit:literal, $scope:ident, [$($attribute:expr),* $(,)?], $description:literal);)*) => {
        $(
            #[doc = $description]
            $vis const $ident: $crate::metric::Metric = $crate::metric::Metric {
                name: $name,
                kind: $crate::metric::Kind::$kind,
                unit: $unit,
                attributes: &[$($attribute),*],
                description: $description,
                scope: $crate::metric::Scope::$scope,
            };
        )*

        /// The metrics of this module.
        #[allow(dead_code, unreachable_pub, reason = "a private module may declare metrics for its tests")]
        pub const METRICS: &[$crate::metric::Metric] = &[$($ident),*];
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::label! {
        /// A label.
        enum Colour: "colour" {
            /// Red.
            Red = "red",
            /// Blue.
            Blue = "blue",
        }
    }

    crate::metrics! {
        MIXED = Counter("test.mixed", "{pot}", PerInstance, [Colour::ATTRIBUTE], "Pots mixed");
        TAKEN = Histogram("test.taken", "s", PerInstance, [], "Duration of mixing");
    }

    #[test]
    fn a_label_is_its_position_and_its_text() {
        for (index, colour) in Colour::ALL.into_iter().enumerate() {
            assert_eq!(colour.index(), index);
            assert_eq!(Label::index(colour), index);
            assert_eq!(colour.as_str(), <Colour as Label>::VALUES[index]);
            assert_eq!(Label::as_str(colour), colour.as_str());
        }
    }

    #[test]
    fn prometheus_names_have_the_suffixes_of_unit_and_kind() {
        let names: Vec<_> = METRICS.iter().map(Metric::prometheus).collect();
        assert_eq!(names, ["test_mixed_total", "test_taken_seconds"]);
    }
}
