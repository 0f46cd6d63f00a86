//! Authentications, tokens and limits of services: the effect of each recorder, and that it has no other effect.

mod attempts;
mod gauges;
mod limits;
mod panics;
mod recorders;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::*;
use crate::testing::USAGE;
use skriptoteket_core::clock::{Clock, ManualClock};
use skriptoteket_telemetry::{Telemetry, exposition::Exposition, testing::CollectedMetrics};

const FOR_EVER: Duration = Duration::MAX;

/// The only registered service; all others are `_other`.
const MAILROOM: &str = "mailroom";
const SERVICES: [&str; 2] = [MAILROOM, OTHER_SERVICE];

struct Fixture {
    telemetry: Telemetry,
    collected: CollectedMetrics,
    clock: Arc<ManualClock>,
    metrics: AuthMetrics,
}

impl Fixture {
    /// Creates the metrics with this service admitted.
    fn new() -> Self {
        let (telemetry, collected) = Telemetry::in_memory(&[METRICS]);
        let clock = Arc::new(ManualClock::default());
        let metrics = AuthMetrics::new(
            &telemetry.meter(),
            &telemetry.observed_meters(),
            Arc::<ManualClock>::clone(&clock),
        );
        assert!(metrics.admit(MAILROOM));
        Self {
            telemetry,
            collected,
            clock,
            metrics,
        }
    }

    fn counter(&self, name: &str, labels: &[(&str, &str)]) -> Option<u64> {
        self.collected
            .counter(&format!("skriptoteket.{name}"), labels)
    }

    /// Returns the usage and the limit, by limit type, as both readers export it.
    fn usage(&self) -> Vec<Option<(f64, f64)>> {
        let page = page_of(&self.telemetry);
        let shown = |limit: LimitType| {
            let labels = [("limit_type", limit.as_str()), ("service_id", MAILROOM)];
            let [current, allowed] = ["current", "allowed"].map(|what| {
                let seen = page.value(&format!("skriptoteket_rate_limit_{what}"), &labels);
                let name = format!("skriptoteket.rate_limit_{what}");
                assert_eq!(seen, self.collected.gauge(&name, &labels));
                seen
            });
            current.zip(allowed)
        };
        LimitType::ALL.iter().copied().map(shown).collect()
    }

    /// Returns the value of every counter series and the number of values of each histogram series, from the metrics
    /// page.
    fn counts(&self) -> BTreeMap<(String, Vec<(String, String)>), f64> {
        let page = page_of(&self.telemetry);
        let counts = page.samples.into_iter().filter(|it| {
            ["_total", "_count"]
                .iter()
                .any(|end| it.name.ends_with(end))
        });
        counts
            .map(|it| ((it.name, it.labels.into_iter().collect()), it.value))
            .collect()
    }

    /// Asserts that `record` changes only this series, and increases it by one.
    fn moves(&self, name: &str, labels: &[(&str, &str)], record: impl FnOnce(&AuthMetrics)) {
        let before = self.counts();
        record(&self.metrics);
        let after = self.counts().into_iter();
        let moved: Vec<_> = after
            .map(|(series, n)| (n - before.get(&series).unwrap_or(&0.0), series))
            .filter(|(by, _)| *by != 0.0)
            .collect();
        let labels = labels.iter();
        let labels = labels.map(|(k, v)| (String::from(*k), String::from(*v)));
        let series = (format!("skriptoteket_{name}"), labels.collect());
        assert_eq!(moved, [(1.0, series)]);
    }
}

fn one_service() -> ServiceSnapshot {
    ServiceSnapshot {
        services: vec![ServiceSample {
            service: MAILROOM.into(),
            health: Health::Degraded,
            credential_expires_in: Some(90.0),
        }],
        registrations: [3, 2],
        rotations: [5, 1],
        signing_key_age: Some(Duration::from_mins(1)),
    }
}

fn page_of(telemetry: &Telemetry) -> Exposition {
    Exposition::parse(&telemetry.page().render().unwrap()).unwrap()
}
