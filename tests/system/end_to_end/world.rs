//! All servers of a test, and users of the service.

use std::{
    collections::BTreeMap,
    io::Write,
    net::SocketAddr,
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use reqwest::{Client, Response};
use serde_json::json;
use skriptoteket::telemetry::OtlpProtocol;
use skriptoteket_testing::{
    collector::Collector,
    http::{client, cookie_of, plain},
    ports::free_port,
    process::spawn_for_life,
    program::{command_in, program},
    prometheus::Prometheus,
    redis::RedisServer,
    service::{PASSWORD, Service},
};
use tempfile::TempDir;

use crate::end_to_end::pace::{Pace, Scraped};

/// The interval of the session census in production.
const CENSUS_INTERVAL: Duration = Duration::from_secs(5);

/// Gauges of the service as a whole, by the queries in `docs/replicas.md`.
pub(crate) const LIVE: &str = "max(skriptoteket_active_sessions)";
pub(crate) const USERS: &str = "max by (role) (skriptoteket_users_by_role)";

/// The number of replicas that report.
pub(crate) const REPLICAS: &str = "count(skriptoteket_session_observer)";

/// The seed of the demo's traffic. Its attacks are ten times as fast as in production: with some seeds there are so
/// many that `PasswordSprayingSuspected` fires, and rightly. With this seed there are fewer than fifty, and an account
/// is locked.
const DEMO_SEED: &str = "20";

/// Redis, a Collector, a Prometheus, and replicas of the service. All are stopped when this is dropped.
pub(crate) struct World {
    pub(crate) prometheus: Arc<Prometheus>,
    pub(crate) collector: Collector,
    replicas: BTreeMap<usize, Service>,
    pub(crate) redis: RedisServer,
    pace: Pace,
    settings: Vec<(&'static str, String)>,
    ports: [(u16, u16); 2],
    home: TempDir,
}

impl World {
    /// Starts all but the replicas. `settings` are those of the replicas, without the prefix.
    pub(crate) async fn start(pace: Pace, settings: &[(&'static str, &str)]) -> Self {
        let collector = Collector::start_with(pace.expiration());
        let [telemetry, own] = collector.scraped();
        let prometheus = pace.prometheus(Scraped::Collector { telemetry, own }).await;
        // Prometheus finds its targets some seconds after it is ready.
        prometheus.until_is("count(up == 1)", 3.0).await;
        let ports = [(); 2].map(|()| (free_port(), free_port()));
        let mut this = Self::with(pace, prometheus, collector, ports, settings);
        let milliseconds = pace.interval().as_millis().to_string();
        this.settings.extend([
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                this.collector.endpoint(OtlpProtocol::Grpc),
            ),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc".into()),
            ("OTEL_METRIC_EXPORT_INTERVAL", milliseconds),
        ]);
        this
    }

    /// Like `start`, but the replicas export nothing: Prometheus scrapes them directly, and the Collector receives
    /// nothing.
    pub(crate) async fn start_direct(pace: Pace, settings: &[(&'static str, &str)]) -> Self {
        let collector = Collector::start_with(pace.expiration());
        let ports = [(); 2].map(|()| (free_port(), free_port()));
        let pages = ports.map(|(_, management)| SocketAddr::from(([127, 0, 0, 1], management)));
        let prometheus = pace.prometheus(Scraped::Replicas(pages)).await;
        Self::with(pace, prometheus, collector, ports, settings)
    }

    fn with(
        pace: Pace,
        prometheus: Prometheus,
        collector: Collector,
        ports: [(u16, u16); 2],
        settings: &[(&'static str, &str)],
    ) -> Self {
        let redis = RedisServer::start(&[]);
        let home = tempfile::tempdir().unwrap();
        let census = pace.of(CENSUS_INTERVAL).max(Duration::from_millis(250));
        let mut all = vec![
            // Tokens issued by one replica are valid at both.
            ("public_url", format!("http://127.0.0.1:{}", ports[0].0)),
            ("redis_url", redis.url()),
            ("data_dir", home.path().join("data").display().to_string()),
            ("census_interval", format!("{}ms", census.as_millis())),
        ];
        all.extend(
            settings
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        Self {
            prometheus: Arc::new(prometheus),
            collector,
            replicas: BTreeMap::new(),
            redis,
            pace,
            settings: all,
            ports,
            home,
        }
    }

    /// Starts replica 0 or 1, which must not be running, with these additional settings, and waits until it is ready.
    pub(crate) async fn launch(&mut self, n: usize, more: &[(&'static str, &str)]) {
        let directory = self.home.path().join(format!("replica-{n}"));
        std::fs::create_dir_all(&directory).unwrap();
        let mut settings = self.settings.clone();
        settings.extend(
            more.iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        let mut service = Service::launch(directory, settings, self.ports[n]);
        service.wait_until_ready().await;
        assert!(
            self.replicas.insert(n, service).is_none(),
            "replica {n} runs"
        );
    }

    /// Starts both, and waits until Prometheus has data of both.
    pub(crate) async fn launch_both(&mut self) {
        for n in [0, 1] {
            self.launch(n, &[]).await;
        }
        self.prometheus.until_is(REPLICAS, 2.0).await;
    }

    /// Stops a replica by signal and waits for its end.
    pub(crate) async fn stop(&mut self, n: usize) {
        let mut service = self.replicas.remove(&n).unwrap();
        service.signal("TERM");
        let status = service.wait().await;
        assert!(status.success(), "{status}:\n{}", service.output());
    }

    pub(crate) fn replica(&self, n: usize) -> &Service {
        &self.replicas[&n]
    }

    /// The database of accounts and services.
    pub(crate) fn database(&self) -> PathBuf {
        self.home.path().join("data/skriptoteket.db")
    }

    /// Maximum time from an event until Prometheus has it: an export, a scrape, and some slack.
    pub(crate) fn delivery(&self) -> Duration {
        2 * self.pace.interval() + Duration::from_millis(500)
    }

    /// Runs the program's command line next to the replicas.
    pub(crate) fn command(&self, arguments: &[&str], input: &str) {
        let mut command = command_in(self.home.path());
        command
            .args(arguments)
            .env("SKRIPTOTEKET_ARGON2_MEMORY_KIB", "8")
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        for (name, value) in &self.settings {
            if !name.starts_with("OTEL_") {
                command.env(format!("SKRIPTOTEKET_{}", name.to_uppercase()), value);
            }
        }
        let mut child = command.spawn().unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        assert!(child.wait().unwrap().success(), "{arguments:?}");
    }

    /// Runs the program's own demo against replica `n`, and returns its exit status.
    pub(crate) async fn demo(&self, n: usize, duration: Duration) -> ExitStatus {
        let password: PathBuf = self.home.path().join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL"])
            .arg(program())
            .args(["demo", "--superuser", "admin", "--superuser-password-file"])
            .arg(password)
            .args(["--target", &self.replica(n).url("")])
            .args(["--duration", &format!("{}s", duration.as_secs())])
            .args(["--seed", DEMO_SEED])
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let mut child = spawn_for_life(command);
        let ended = tokio::task::spawn_blocking(move || child.wait().unwrap());
        ended.await.unwrap()
    }
}

/// The completed requests, as the responses reported them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Done {
    pub(crate) logins: f64,
    pub(crate) failures: f64,
}

/// A client that sends logins and counts them.
pub(crate) struct Visitor {
    client: Client,
    pub(crate) done: Done,
    durations: Vec<Duration>,
}

impl Visitor {
    pub(crate) fn new() -> Self {
        Self {
            client: plain(),
            done: Done::default(),
            durations: Vec::new(),
        }
    }

    /// Logs in from this address.
    pub(crate) async fn try_login(
        &mut self,
        service: &Service,
        address: &str,
        name: &str,
        password: &str,
    ) -> Response {
        let started_at = Instant::now();
        let request = self.client.post(service.url("/api/login"));
        let request = request
            .header("x-forwarded-for", address)
            .json(&json!({"username": name, "password": password}));
        let answer = request.send().await.unwrap();
        self.durations.push(started_at.elapsed());
        if answer.status() == 200 {
            self.done.logins += 1.0;
        } else {
            self.done.failures += 1.0;
        }
        answer
    }

    /// Logs in, and expects success.
    pub(crate) async fn log_in(&mut self, service: &Service, name: &str) {
        let answer = self.try_login(service, "192.0.2.1", name, PASSWORD).await;
        assert_eq!(answer.status(), 200, "{name}: {}", service.output());
    }

    /// Like `log_in`, but returns the session's cookie as a browser sends it back.
    pub(crate) async fn cookie(&mut self, service: &Service, name: &str) -> String {
        let answer = self.try_login(service, "192.0.2.1", name, PASSWORD).await;
        assert_eq!(answer.status(), 200, "{name}: {}", service.output());
        cookie_of(&answer)
    }

    /// Ends the session with this cookie.
    pub(crate) async fn log_out(&self, service: &Service, cookie: &str) {
        let request = self.client.post(service.url("/api/logout"));
        let answer = request.header("cookie", cookie).send().await.unwrap();
        assert_eq!(answer.status(), 204, "{}", service.output());
    }

    /// Logs in with a wrong password, each time as another user from another address, so that no account is locked.
    pub(crate) async fn mistype(&mut self, service: &Service) {
        let n = self.done.failures;
        let (address, name) = (format!("2001:db8:{n}::1"), format!("person-{n}"));
        let answer = self.try_login(service, &address, &name, "not-the-password");
        assert_eq!(answer.await.status(), 401, "{name}");
    }

    /// Returns the median duration of the logins since the last call.
    pub(crate) fn median(&mut self) -> Duration {
        let mut all = std::mem::take(&mut self.durations);
        all.sort();
        all[all.len() / 2]
    }
}

/// Creates these accounts (name and role) through a superuser whose login is counted.
pub(crate) async fn add_accounts(service: &Service, done: &mut Done, accounts: &[(String, &str)]) {
    let admin = client();
    let answer = service.login(&admin, "admin", PASSWORD).await;
    assert_eq!(answer.status(), 200);
    done.logins += 1.0;
    let accounts: Vec<(&str, &str)> = accounts
        .iter()
        .map(|(name, role)| (name.as_str(), *role))
        .collect();
    service.add_users(&admin, &accounts).await;
}
