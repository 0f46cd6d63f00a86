//! The Prometheus process, and queries to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use reqwest::Client;
use serde_json::Value;
use tempfile::TempDir;
use url::Url;

use crate::{
    http::plain,
    ports::free_port,
    process::{Killed, spawn_for_life},
    wait::TIME_LIMIT,
};

const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A running Prometheus. It is killed when this is dropped, and when the test process ends in any way.
#[derive(Debug)]
pub struct Prometheus {
    process: Killed,
    address: SocketAddr,
    client: Client,
    delivery: Duration,
    directory: TempDir,
}

/// A series and its current value.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Its labels, including its name.
    pub labels: BTreeMap<String, String>,
    /// Its current value.
    pub value: f64,
}

impl Sample {
    /// Returns the value of a label, empty if the series does not have it, as in `PromQL`.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

impl Prometheus {
    /// Starts a Prometheus and waits until it is ready. `configure` writes `prometheus.yml` and its rules into a directory
    /// for the Prometheus at this address. Data need at most the time `delivery` to arrive, in addition to the time limit
    /// of every wait.
    pub async fn start(configure: impl FnOnce(&Path, SocketAddr), delivery: Duration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        configure(directory.path(), address);
        let log = File::create(directory.path().join("log")).unwrap();
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "prometheus"])
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address={address}"))
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let mut this = Self {
            process: Killed(spawn_for_life(command)),
            address,
            client: plain(),
            delivery,
            directory,
        };
        this.wait_until_ready().await;
        this
    }

    async fn wait_until_ready(&mut self) {
        let started_at = Instant::now();
        let url = format!("{}/-/ready", self.url());
        while started_at.elapsed() < TIME_LIMIT {
            if let Some(status) = self.process.0.try_wait().unwrap() {
                panic!("Prometheus ended with {status}:\n{}", self.log());
            }
            let answer = self.client.get(&url).send().await;
            if answer.is_ok_and(|it| it.status().is_success()) {
                return;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        panic!("Prometheus was not ready in time:\n{}", self.log());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    /// Returns the time limit for data that come through the pipeline.
    pub fn time_limit(&self) -> Duration {
        TIME_LIMIT + self.delivery
    }

    /// Returns its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    async fn get(&self, api: &str, parameters: &[(&str, &str)]) -> Value {
        let url = format!("{}/api/v1/{api}", self.url());
        let url = Url::parse_with_params(&url, parameters).unwrap();
        let answer = self.client.get(url).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["status"], "success", "{parameters:?}: {answer}");
        answer["data"].clone()
    }

    /// Returns the current result of an expression.
    pub async fn query(&self, expression: &str) -> Vec<Sample> {
        let data = self.get("query", &[("query", expression)]).await;
        let found = data["result"].as_array().unwrap();
        let sample = |it: &Value| Sample {
            labels: labels(&it["metric"]),
            value: number(&it["value"]),
        };
        found.iter().map(sample).collect()
    }

    /// Returns the current value of an expression with at most one series.
    pub async fn value(&self, expression: &str) -> Option<f64> {
        let found = self.query(expression).await;
        assert!(found.len() < 2, "{expression}: {found:?}");
        found.first().map(|it| it.value)
    }

    /// Returns the current values of an expression by a label that identifies its series.
    pub async fn by(&self, label: &str, expression: &str) -> BTreeMap<String, f64> {
        let found = self.query(expression).await;
        let number = found.len();
        let by: BTreeMap<_, _> = found
            .into_iter()
            .map(|it| (it.label(label).to_owned(), it.value))
            .collect();
        assert_eq!(
            by.len(),
            number,
            "{expression}: {label} must identify each series"
        );
        by
    }

    /// Waits until an expression has exactly these values by a label.
    pub async fn until_by(&self, label: &str, expression: &str, expected: &BTreeMap<String, f64>) {
        let started_at = Instant::now();
        loop {
            let told = self.by(label, expression).await;
            if told == *expected {
                return;
            }
            assert!(
                started_at.elapsed() < self.time_limit(),
                "{expression}: {told:?}, expected {expected:?}"
            );
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Returns the values of an expression with one series at every evaluation since then.
    pub async fn history(&self, expression: &str, since: SystemTime, step: Duration) -> Vec<f64> {
        let time = |at: SystemTime| {
            let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
            since.as_secs_f64().to_string()
        };
        let (start, end) = (time(since), time(SystemTime::now()));
        let step = step.as_secs_f64().to_string();
        let parameters = [
            ("query", expression),
            ("start", &start),
            ("end", &end),
            ("step", &step),
        ];
        let data = self.get("query_range", &parameters).await;
        let found = data["result"].as_array().unwrap();
        assert!(found.len() < 2, "{expression}: {found:?}");
        let values = found.iter().flat_map(|it| it["values"].as_array().unwrap());
        values.map(number).collect()
    }

    /// Returns the label sets of all series that match, now or in the last hour.
    pub async fn series(&self, matching: &str) -> BTreeSet<BTreeMap<String, String>> {
        let data = self.get("series", &[("match[]", matching)]).await;
        data.as_array().unwrap().iter().map(labels).collect()
    }

    /// Returns all rules, as the API of Prometheus lists them.
    pub async fn rules(&self) -> Vec<Value> {
        let data = self.get("rules", &[]).await;
        let groups = data["groups"].as_array().unwrap();
        let rules = groups.iter().map(|it| it["rules"].as_array().unwrap());
        rules.flatten().cloned().collect()
    }

    /// Returns the alerts that fired at some time within this period, except the one that always fires.
    pub async fn fired(&self, within: Duration) -> BTreeSet<String> {
        let fired = self.fired_of("alertname", within).await;
        fired.into_iter().map(|(alert, _)| alert).collect()
    }

    /// Like `fired`, each with its value of this label, or an empty string.
    pub async fn fired_of(&self, label: &str, within: Duration) -> BTreeSet<(String, String)> {
        let alerts = r#"ALERTS{alertstate="firing", alertname!="Watchdog"}"#;
        let within = within.max(Duration::from_secs(1)).as_millis();
        let expression = format!("max_over_time({alerts}[{within}ms])");
        let found = self.query(&expression).await;
        let pair = |it: &Sample| (it.label("alertname").to_owned(), it.label(label).to_owned());
        found.iter().map(pair).collect()
    }

    /// Repeats the query until the result is the wanted one, and returns the time that this took.
    pub async fn until(
        &self,
        what: &str,
        expression: &str,
        limit: Duration,
        wanted: impl Fn(&[Sample]) -> bool,
    ) -> Duration {
        let started_at = Instant::now();
        loop {
            let found = self.query(expression).await;
            if wanted(&found) {
                return started_at.elapsed();
            }
            assert!(
                started_at.elapsed() < limit,
                "{what}: not within {limit:?}: {expression} is {found:?}"
            );
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits until an expression has one series with this value.
    pub async fn until_is(&self, expression: &str, value: f64) -> Duration {
        let wanted = |found: &[Sample]| found.len() == 1 && found[0].value == value;
        let what = format!("it is {value}");
        self.until(&what, expression, self.time_limit(), wanted)
            .await
    }
}

fn labels(metric: &Value) -> BTreeMap<String, String> {
    let pairs = metric.as_object().unwrap().iter();
    let pairs = pairs.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()));
    pairs.collect()
}

/// Returns the number in a pair of time and text.
fn number(pair: &Value) -> f64 {
    pair[1].as_str().unwrap().parse().unwrap()
}
