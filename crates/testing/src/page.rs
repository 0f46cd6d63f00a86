//! A `/metrics` page, by series.

use std::collections::{BTreeMap, BTreeSet};

use skriptoteket::telemetry::exposition::Exposition;

/// The samples of a page by series: `name{label="value",…}`, with the labels in the order of their names.
#[derive(Debug)]
pub struct Page {
    samples: BTreeMap<String, f64>,
}

impl Page {
    /// Parses a page.
    pub fn parse(text: &str) -> Self {
        let samples = Exposition::parse(text).unwrap().samples.into_iter();
        let samples = samples.map(|sample| {
            let labels = sample
                .labels
                .iter()
                .map(|(key, value)| format!("{key}={value:?}"));
            let labels = labels.collect::<Vec<_>>().join(",");
            let series = if labels.is_empty() {
                sample.name
            } else {
                format!("{}{{{labels}}}", sample.name)
            };
            (series, sample.value)
        });
        Self {
            samples: samples.collect(),
        }
    }

    /// Returns the value of a series. Its labels may be in any order.
    pub fn get(&self, series: &str) -> Option<f64> {
        self.samples.get(&sorted(series)).copied()
    }

    /// Returns the value of a series that must be on the page.
    pub fn value(&self, series: &str) -> f64 {
        self.get(series)
            .unwrap_or_else(|| panic!("{series} is not on the page"))
    }

    /// Returns the sum of all series of this name that have this label.
    pub fn sum(&self, name: &str, label: &str) -> f64 {
        let all = self.samples.iter();
        all.filter(|(series, _)| series.starts_with(&format!("{name}{{")) && series.contains(label))
            .map(|(_, value)| value)
            .sum()
    }

    /// Returns the names of all series of one metric.
    pub fn series_of(&self, name: &str) -> Vec<&str> {
        let of = |series: &&String| series.split('{').next() == Some(name);
        self.samples.keys().filter(of).map(String::as_str).collect()
    }

    /// Returns the names of all series.
    pub fn series(&self) -> BTreeSet<&str> {
        self.samples.keys().map(String::as_str).collect()
    }

    /// Returns Σ started − Σ ended of a role.
    pub fn started_less_ended(&self, role: &str) -> f64 {
        let role = format!("role=\"{role}\"");
        self.sum("skriptoteket_sessions_started_total", &role)
            - self.sum("skriptoteket_sessions_ended_total", &role)
    }
}

/// Sorts the labels by name. No label value of the service contains a comma.
fn sorted(series: &str) -> String {
    let Some((name, labels)) = series.split_once('{') else {
        return series.to_owned();
    };
    let mut labels: Vec<&str> = labels.trim_end_matches('}').split(',').collect();
    labels.sort_unstable();
    format!("{name}{{{}}}", labels.join(","))
}
