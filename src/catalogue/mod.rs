//! The list of all metrics of the service.
//!
//! A metric is declared in the `metrics` module of its domain. Tests compare the list with what `/metrics` and the
//! Collector export, and with every name in the documentation and the dashboards, in both directions.

#[cfg(test)]
mod tests;
mod view;

pub use view::{LabelView, MetricView, views};

use crate::{
    accounts, audit, http, login,
    metric::{Catalogue, Metric},
    services, sessions, store,
};

/// The metrics of all domains.
pub const CATALOGUE: Catalogue = &[
    sessions::metrics::METRICS,
    login::metrics::METRICS,
    accounts::metrics::METRICS,
    audit::metrics::METRICS,
    services::metrics::METRICS,
    store::metrics::METRICS,
    http::metrics::METRICS,
];

/// Returns every metric.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    CATALOGUE.iter().copied().flatten()
}
