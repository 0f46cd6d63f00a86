//! The counters of services. All series are watched, so that no change is missed.

use std::collections::BTreeMap;

use skriptoteket::telemetry::testing::CollectedMetrics;

/// The counters that are watched.
const COUNTERS: [&str; 6] = [
    "successful_auths",
    "failed_auths",
    "token_verifications",
    "rate_limit_exceeded",
    "rate_limit_failures",
    "retired_credential_uses",
];

/// Watches the counters of services.
pub(crate) struct Ledger {
    metrics: CollectedMetrics,
    before: BTreeMap<String, u64>,
}

impl Ledger {
    pub(crate) fn open(metrics: &CollectedMetrics) -> Self {
        Self {
            metrics: metrics.clone(),
            before: read(metrics),
        }
    }

    /// Returns the series that have changed since the last call and by how much: the counter and its label values,
    /// ordered by key.
    pub(crate) fn moved(&mut self) -> Vec<(String, u64)> {
        let now = read(&self.metrics);
        let before = std::mem::replace(&mut self.before, now.clone());
        let moved = |(series, value): (String, u64)| {
            let by = value - before.get(&series).copied().unwrap_or(0);
            (by > 0).then_some((series, by))
        };
        now.into_iter().filter_map(moved).collect()
    }

    /// Fails unless exactly these series have increased by one since the last call, and no other has changed.
    #[track_caller]
    pub(crate) fn expect(&mut self, series: &[&str]) {
        let moved = self.moved();
        let mut expected: Vec<_> = series.iter().map(|it| (String::from(*it), 1)).collect();
        expected.sort();
        assert_eq!(moved, expected);
    }
}

fn read(metrics: &CollectedMetrics) -> BTreeMap<String, u64> {
    let watched = |(name, labels, value): (String, Vec<(String, String)>, u64)| {
        let name = name.strip_prefix("skriptoteket.")?;
        let name = COUNTERS.into_iter().find(|it| *it == name)?;
        let values = labels.into_iter().map(|(_, value)| value);
        let text: Vec<String> = std::iter::once(name.to_owned()).chain(values).collect();
        Some((text.join(" "), value))
    };
    metrics.counters().into_iter().filter_map(watched).collect()
}
