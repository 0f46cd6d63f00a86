//! The catalogue as JSON.

use serde::Serialize;

use super::all;
use crate::metric::{Attribute, Metric, Values};

/// A metric as `skriptoteket metrics --json` prints it.
#[derive(Clone, Debug, Serialize)]
pub struct MetricView {
    /// The OpenTelemetry name.
    pub name: &'static str,
    /// The Prometheus name.
    pub prometheus: String,
    /// The kind of the instrument.
    pub kind: &'static str,
    /// The UCUM unit, or a singular in braces.
    pub unit: &'static str,
    /// `service-wide` (take `max` over instances) or `per instance` (take `sum`).
    pub scope: &'static str,
    /// What it measures, in one line.
    pub description: &'static str,
    /// Its labels.
    pub labels: Vec<LabelView>,
}

/// A label of a metric.
#[derive(Clone, Debug, Serialize)]
pub struct LabelView {
    /// The name of the OpenTelemetry attribute.
    pub key: &'static str,
    /// The name of the label in Prometheus.
    pub label: String,
    /// All values, if the set is closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<&'static [&'static str]>,
    /// Where the values come from, if the set is not closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values_from: Option<&'static str>,
}

impl From<&Metric> for MetricView {
    fn from(metric: &Metric) -> Self {
        Self {
            name: metric.name,
            prometheus: metric.prometheus(),
            kind: metric.kind.as_str(),
            unit: metric.unit,
            scope: metric.scope.as_str(),
            description: metric.description,
            labels: metric.attributes.iter().map(LabelView::from).collect(),
        }
    }
}

impl From<&Attribute> for LabelView {
    fn from(attribute: &Attribute) -> Self {
        let (values, values_from) = match attribute.values {
            Values::Closed(values) => (Some(values), None),
            Values::Bounded(words) => (None, Some(words)),
            Values::Service => (None, Some("the IDs of registered services, or _other")),
        };
        Self {
            key: attribute.key,
            label: attribute.label(),
            values,
            values_from,
        }
    }
}

/// Returns every metric, in the order of the catalogue.
#[must_use]
pub fn views() -> Vec<MetricView> {
    all().map(MetricView::from).collect()
}
