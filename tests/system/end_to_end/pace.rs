//! Scaled time: the shipped configuration with every duration divided by the same number. Generated in every run, so
//! that the shipped files are what is tested.

use std::{fmt::Write, fs, net::SocketAddr, path::Path, time::Duration};

use skriptoteket_testing::{
    files::{in_repository, read},
    prometheus::Prometheus,
};

/// The interval at which the service exports, and Prometheus scrapes and evaluates.
const INTERVAL: Duration = Duration::from_secs(15);

/// Ten seconds become one.
pub(crate) const TEST: Pace = Pace(10);

/// What a busy machine may add to a time that the pipeline promises. At a pace of one it is small compared with the
/// promise.
pub(crate) const SLACK: Duration = Duration::from_secs(10);

/// The divisor of all durations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace(pub(crate) u32);

/// The targets of Prometheus: which of the shipped configurations, and the real addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scraped {
    /// `prometheus.yml`: the Collector's page of the service, and its own metrics.
    Collector {
        telemetry: SocketAddr,
        own: SocketAddr,
    },
    /// `direct.yml`: the replicas.
    Replicas([SocketAddr; 2]),
}

impl Scraped {
    fn file(self) -> &'static str {
        match self {
            Self::Collector { .. } => "prometheus/prometheus.yml",
            Self::Replicas(_) => "prometheus/direct.yml",
        }
    }

    /// Returns the targets as shipped, each with its real address.
    fn targets(self) -> Vec<(&'static str, String)> {
        match self {
            Self::Collector { telemetry, own } => vec![
                ("otel-collector:8889", telemetry.to_string()),
                ("otel-collector:8888", own.to_string()),
            ],
            Self::Replicas([one, other]) => vec![("localhost:9464", format!("{one}, {other}"))],
        }
    }
}

impl Pace {
    /// Returns a production duration at this pace.
    pub(crate) fn of(self, duration: Duration) -> Duration {
        duration / self.0
    }

    /// Returns the time between exports, scrapes and evaluations, at least what a small machine can sustain.
    pub(crate) fn interval(self) -> Duration {
        self.of(INTERVAL).max(Duration::from_millis(500))
    }

    /// Starts a Prometheus with the shipped configuration at this pace.
    pub(crate) async fn prometheus(self, scraped: Scraped) -> Prometheus {
        let configure = |directory: &Path, address| self.write(directory, scraped, address);
        Prometheus::start(configure, 4 * self.interval()).await
    }

    /// Returns the time after which the Collector drops a series without new data.
    pub(crate) fn expiration(self) -> Duration {
        let config = read("otel-collector/config.yaml");
        let (_, rest) = config
            .split_once("${env:COLLECTOR_METRIC_EXPIRATION:-")
            .unwrap();
        let shipped = milliseconds(rest.split('}').next().unwrap()).unwrap();
        let intervals = Duration::from_millis(shipped).div_duration_f64(INTERVAL);
        self.interval().mul_f64(intervals)
    }

    /// Writes the configuration and rules for the Prometheus at this address into this directory.
    pub(crate) fn write(self, directory: &Path, scraped: Scraped, prometheus: SocketAddr) {
        let config = self.configuration(scraped, prometheus);
        fs::write(directory.join("prometheus.yml"), config).unwrap();
        fs::create_dir(directory.join("rules")).unwrap();
        for (name, rules) in shipped_rules() {
            fs::write(directory.join("rules").join(name), self.rules(&rules)).unwrap();
        }
    }

    /// Returns the scrape configuration with this interval and these targets, without an Alertmanager. A scrape may
    /// take the whole interval: the speed of the machine is not tested.
    fn configuration(self, scraped: Scraped, prometheus: SocketAddr) -> String {
        let shipped = read(scraped.file());
        let interval = self.interval().as_millis();
        let mut text = String::new();
        let mut within_alerting = false;
        for line in shipped.lines() {
            if !line.starts_with([' ', '#']) && !line.is_empty() {
                within_alerting = line.starts_with("alerting:");
            }
            if within_alerting {
                continue;
            }
            match line.split_once(": ") {
                Some((name, _)) if name.ends_with("_interval") || name.ends_with("_timeout") => {
                    writeln!(text, "{name}: {interval}ms").unwrap();
                }
                _ => writeln!(text, "{line}").unwrap(),
            }
        }
        let mut targets = scraped.targets();
        targets.push(("localhost:9090", prometheus.to_string()));
        for (name, address) in targets {
            let (name, address) = (
                format!("targets: [{name}]"),
                format!("targets: [{address}]"),
            );
            assert_eq!(text.matches(&name).count(), 1, "{name}");
            text = text.replace(&name, &address);
        }
        text
    }

    /// Returns the rules with shorter windows, offsets and `for`. Names and texts for people stay as they are.
    fn rules(self, shipped: &str) -> String {
        let mut text = String::new();
        for line in shipped.lines() {
            if has_durations(line) {
                self.shorten(line, &mut text);
            } else {
                text.push_str(line);
            }
            text.push('\n');
        }
        text
    }

    /// Scales the durations of a line. In `PromQL` a duration is a separate word outside quotes: no other word that is
    /// not a name begins with a digit and ends with a unit.
    fn shorten(self, line: &str, text: &mut String) {
        let mut quoted = false;
        for piece in line.split_inclusive(|c: char| !c.is_alphanumeric() && c != '_') {
            let word = piece.trim_end_matches(|c: char| !c.is_alphanumeric() && c != '_');
            match milliseconds(word) {
                Some(duration) if !quoted => {
                    let shorter = duration / u64::from(self.0);
                    write!(text, "{shorter}ms{}", &piece[word.len()..]).unwrap();
                }
                _ => text.push_str(piece),
            }
            quoted ^= piece.ends_with('"');
        }
    }
}

/// Returns whether a line may contain durations: it is not the name of a rule, a text for people, or a comment.
fn has_durations(line: &str) -> bool {
    let words = [
        "- record:",
        "- alert:",
        "- name:",
        "labels:",
        "summary:",
        "description:",
        "runbook_url:",
        "dashboard_url:",
        "#",
    ];
    !words.iter().any(|word| line.trim_start().starts_with(word))
}

/// Parses a duration as Prometheus writes it, `1h30m`. Returns `None` for anything else.
fn milliseconds(word: &str) -> Option<u64> {
    let mut rest = word;
    let mut sum = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let after = &rest[digits..];
        let unit = after.find(|c: char| c.is_ascii_digit());
        let (unit, left) = after.split_at(unit.unwrap_or(after.len()));
        sum += number
            * match unit {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                "w" => 604_800_000,
                _ => return None,
            };
        rest = left;
    }
    (sum > 0).then_some(sum)
}

/// Returns the shipped rule files.
fn shipped_rules() -> Vec<(String, String)> {
    let files = fs::read_dir(in_repository("prometheus/rules")).unwrap();
    let mut rules: Vec<_> = files
        .map(|file| {
            let name = file.unwrap().file_name().into_string().unwrap();
            let text = read(&format!("prometheus/rules/{name}"));
            (name, text)
        })
        .collect();
    rules.sort();
    rules
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// Returns the values of all lines of this name.
    fn values<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
        let lines = text.lines().map(|line| line.trim_start_matches([' ', '-']));
        lines
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            .collect()
    }

    /// Returns the durations after a bracket, `offset` or `for`, parsed independently of the code that scales them.
    fn durations(text: &str) -> Vec<u64> {
        let mut found = Vec::new();
        for start in ["[", "offset ", "  for: ", ":"] {
            for (at, _) in text.match_indices(start) {
                let rest = &text[at + start.len()..];
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric());
                let subquery = start != ":" || rest[end.unwrap_or(rest.len())..].starts_with(']');
                if subquery {
                    found.extend(
                        milliseconds(&rest[..end.unwrap_or(rest.len())]).map(|it| (at, it)),
                    );
                }
            }
        }
        found.into_iter().map(|(_, it)| it).collect()
    }

    #[test]
    fn every_duration_of_the_rules_is_shortened_and_nothing_else_is_changed() {
        let mut all = 0;
        for (file, shipped) in shipped_rules() {
            let short = TEST.rules(&shipped);
            let (long, shortened) = (durations(&shipped), durations(&short));
            let expected: Vec<u64> = long.iter().map(|it| it / 10).collect();
            assert_eq!(shortened, expected, "{file}");
            all += long.len();
            for name in [
                "record",
                "alert",
                "name",
                "summary",
                "description",
                "labels",
            ] {
                assert_eq!(values(&short, name), values(&shipped, name), "{file}");
            }
            // Without the durations both are the same.
            let without = |text: &str| {
                let is_word = |c: char| c.is_alphanumeric() || c == '_';
                let words = text.split(|c| !is_word(c));
                words
                    .filter(|word| milliseconds(word).is_none())
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            assert_eq!(without(&short), without(&shipped), "{file}");
            assert_eq!(
                Pace(1).rules(&shipped).lines().count(),
                shipped.lines().count()
            );
        }
        assert!(all > 60, "{all} durations");
    }

    #[test]
    fn durations_are_told_from_names_numbers_and_what_is_quoted() {
        let rules = "expr: a:rate5m{le=\"5m\", x=~\"5m|1h\"}[1h30m:10s] offset 1d > 5 * 1e3 # and 3\nfor: 15m\n";
        let short = "expr: a:rate5m{le=\"5m\", x=~\"5m|1h\"}[540000ms:1000ms] offset 8640000ms > 5 * 1e3 # and 3\nfor: 90000ms\n";
        assert_eq!(TEST.rules(rules), short);
    }

    #[test]
    fn promtool_takes_the_shortened_configuration_and_as_many_rules() {
        let collector = Scraped::Collector {
            telemetry: at(1),
            own: at(2),
        };
        let replicas = Scraped::Replicas([at(1), at(2)]);
        let checked = |pace: Pace, scraped: Scraped| {
            let directory = tempfile::tempdir().unwrap();
            pace.write(directory.path(), scraped, at(3));
            let path = |name: &str| directory.path().join(name);
            let output = Command::new("promtool")
                .args(["check", "config"])
                .arg(path("prometheus.yml"))
                .output()
                .unwrap();
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8(said).unwrap();
            assert!(output.status.success(), "{said}");
            let found = said.lines().filter_map(|line| line.split(' ').rev().nth(2));
            let rules: Vec<u32> = found.filter_map(|it| it.parse().ok()).collect();
            (rules, fs::read_to_string(path("prometheus.yml")).unwrap())
        };
        for scraped in [collector, replicas] {
            let (rules, config) = checked(TEST, scraped);
            assert_eq!(rules, checked(Pace(1), scraped).0);
            assert!(rules.iter().sum::<u32>() > 20, "{rules:?}");
            assert!(!config.contains("alertmanager"), "{config}");
            // The interval also occurs in a comment, for names that are looked up.
            let intervals = config.matches("1500ms").count();
            assert_eq!(
                intervals,
                config.matches("_interval: ").count() + 1,
                "{config}"
            );
        }
        assert_eq!(TEST.interval(), Duration::from_millis(1_500));
        assert_eq!(TEST.expiration(), Duration::from_millis(3_500));
    }
}
