//! `metrics`: the catalogue of metrics.

use clap::Args;
use serde::Serialize;

use super::output::{self, Row};
use crate::catalogue::{MetricView, views};

/// The output format.
#[derive(Debug, Args)]
pub(super) struct MetricsArgs {
    /// Print JSON, with all values of the labels
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(transparent)]
struct MetricRow(MetricView);

impl Row for MetricRow {
    const COLUMNS: &'static [&'static str] = &["metric", "labels", "scope", "description"];
    const LAST_COLUMN_IS_PROSE: bool = true;

    fn cells(&self) -> Vec<String> {
        let labels: Vec<&str> = self.0.labels.iter().map(|it| it.label.as_str()).collect();
        vec![
            self.0.prometheus.clone(),
            labels.join(", "),
            self.0.scope.to_owned(),
            self.0.description.to_owned(),
        ]
    }
}

pub(super) fn run(args: &MetricsArgs) -> anyhow::Result<()> {
    let rows: Vec<MetricRow> = views().into_iter().map(MetricRow).collect();
    output::list(&rows, args.json)
}
