//! Parser of a metrics page: the Prometheus text format, version 0.0.4.

use std::{collections::BTreeMap, str::Chars};

/// The text is not a metrics page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is not in the Prometheus text format")]
pub struct NotAPage {
    /// The first invalid line, counted from 1.
    pub line: usize,
}

/// One value on a page.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The name as it appears on the page: a histogram's ends in `_bucket`, `_sum` or `_count`.
    pub name: String,
    /// The labels, by name.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

/// A page: samples, and the types that it declares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exposition {
    /// Types (`counter`, `gauge`, `histogram` …) by metric name.
    pub types: BTreeMap<String, String>,
    /// Samples in the order of the page.
    pub samples: Vec<Sample>,
}

impl Exposition {
    /// Parses a page. Timestamps, and comments other than types, are ignored.
    ///
    /// # Errors
    ///
    /// [`NotAPage`] with the first line that cannot be parsed.
    pub fn parse(page: &str) -> Result<Self, NotAPage> {
        let mut exposition = Self::default();
        for (index, line) in page.lines().enumerate() {
            let line = line.trim();
            if let Some(comment) = line.strip_prefix('#') {
                let mut words = comment.split_whitespace();
                if words.next() == Some("TYPE")
                    && let (Some(name), Some(kind)) = (words.next(), words.next())
                {
                    exposition.types.insert(name.into(), kind.into());
                }
            } else if !line.is_empty() {
                let sample = sample(line).ok_or(NotAPage { line: index + 1 })?;
                exposition.samples.push(sample);
            }
        }
        Ok(exposition)
    }

    /// Returns the value of the sample with this name and exactly these labels.
    #[must_use]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let matches = |sample: &&Sample| {
            sample.name == name
                && sample.labels.len() == labels.len()
                && labels
                    .iter()
                    .all(|(key, value)| sample.labels.get(*key).is_some_and(|it| it == value))
        };
        self.samples.iter().find(matches).map(|it| it.value)
    }

    /// Returns the metric that a sample belongs to: its name, for a histogram without `_bucket`, `_sum` or `_count`.
    #[must_use]
    pub fn metric_of<'a>(&self, sample: &'a Sample) -> &'a str {
        let name = sample.name.as_str();
        ["_bucket", "_sum", "_count"]
            .into_iter()
            .filter_map(|part| name.strip_suffix(part))
            .find(|base| self.types.get(*base).is_some_and(|it| it == "histogram"))
            .unwrap_or(name)
    }
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' ', '\t'])?;
    let (name, rest) = line.split_at(end);
    let mut rest = rest.chars();
    let labels = match rest.clone().next() {
        Some('{') => labels(&mut rest)?,
        _ => BTreeMap::new(),
    };
    let value = rest.as_str().split_whitespace().next()?.parse().ok()?;
    Some(Sample {
        name: name.into(),
        labels,
        value,
    })
}

/// Parses `{key="value",…}` and leaves the rest of the text.
fn labels(text: &mut Chars<'_>) -> Option<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    text.next();
    loop {
        let key: String = text
            .by_ref()
            .take_while(|c| !matches!(c, '=' | '}'))
            .collect();
        let key = key.trim_matches([',', ' ']);
        if key.is_empty() {
            return Some(labels);
        }
        if text.next()? != '"' {
            return None;
        }
        labels.insert(key.into(), quoted(text)?);
    }
}

fn quoted(text: &mut Chars<'_>) -> Option<String> {
    let mut value = String::new();
    loop {
        value.push(match text.next()? {
            '"' => return Some(value),
            '\\' => match text.next()? {
                'n' => '\n',
                other => other,
            },
            other => other,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"
# HELP logins_total Login attempts
# TYPE logins_total counter
logins_total{status="success"} 3
logins_total{status="failure"} 1.5e2 1767268800000
# TYPE seconds histogram
seconds_bucket{le="+Inf",path="C:\\a \"b\"}\n"} 2
seconds_sum{path="x"} +Inf
up 1
"#;

    #[test]
    fn a_page_is_read_back() {
        let page = Exposition::parse(PAGE).unwrap();
        assert_eq!(page.types["logins_total"], "counter");
        assert_eq!(
            page.value("logins_total", &[("status", "failure")]),
            Some(150.0)
        );
        assert_eq!(page.value("logins_total", &[]), None);
        assert_eq!(page.value("up", &[]), Some(1.0));
        let path = page.samples[2].labels["path"].as_str();
        assert_eq!(path, "C:\\a \"b\"}\n");
        assert_eq!(
            page.value("seconds_sum", &[("path", "x")]),
            Some(f64::INFINITY)
        );
    }

    #[test]
    fn a_histogram_is_one_metric() {
        let page = Exposition::parse(PAGE).unwrap();
        let metrics: Vec<_> = page.samples.iter().map(|it| page.metric_of(it)).collect();
        assert_eq!(
            metrics,
            ["logins_total", "logins_total", "seconds", "seconds", "up"]
        );
    }

    #[test]
    fn what_is_no_page_is_told_with_its_line() {
        for text in ["<html>", "up", "up{a=\"b} 1", "up{a=b} 1", "up one"] {
            assert_eq!(
                Exposition::parse(&format!("up 1\n{text}")),
                Err(NotAPage { line: 2 })
            );
        }
    }
}
