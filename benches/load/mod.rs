//! What the benchmarks are made of: servers in processes of their own, `wrk` that loads them, medians and ratios.

#![allow(dead_code, reason = "each benchmark uses what it needs of the servers")]

pub(crate) mod meter;
pub(crate) mod promises;

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fmt::Write as _,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use serde_json::json;

/// Connections that `wrk` holds open.
pub(crate) const CONNECTIONS: &str = "64";

/// Everybody's password.
pub(crate) const PASSWORD: &str = "tundra-lantern-quarry-41";

/// Settings under which a login costs next to nothing but what the stores take, as often as anybody likes.
pub(crate) const CHEAP_LOGINS: &[(&str, &str)] = &[
    ("SKRIPTOTEKET_ARGON2_MEMORY_KIB", "8"),
    ("SKRIPTOTEKET_ARGON2_ITERATIONS", "1"),
    ("SKRIPTOTEKET_MAX_SESSIONS_PER_USER", "1000"),
    ("SKRIPTOTEKET_GUARD_ACCOUNT_ATTEMPTS", "1000000"),
    ("SKRIPTOTEKET_GUARD_ADDRESS_ATTEMPTS", "1000000"),
];

/// How long a server may take to start.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// A server process that ends with this value, or with the benchmark however that ends.
pub(crate) struct Server {
    child: Child,
    port: u16,
    /// Where readiness is asked for; a server without it is ready when it listens.
    management_port: Option<u16>,
    started: Instant,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that ends when the thread does that starts it, which has to be the main one.
pub(crate) fn program(path: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(path);
    command
}

impl Server {
    /// Starts a server that listens on `port` and has no probe.
    pub(crate) fn spawn(command: &mut Command, port: u16) -> anyhow::Result<Self> {
        Self::start(command, port, None)
    }

    fn start(
        command: &mut Command,
        port: u16,
        management_port: Option<u16>,
    ) -> anyhow::Result<Self> {
        let started = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("{command:?}"))?;
        Ok(Self {
            child,
            port,
            management_port,
            started,
        })
    }

    /// Starts our service in `dir` on these two ports.
    pub(crate) fn skriptoteket(
        dir: &Path,
        [port, management_port]: [u16; 2],
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let mut command = program(env!("CARGO_BIN_EXE_skriptoteket"));
        command
            .arg("serve")
            .current_dir(dir)
            .env_clear()
            .env("SKRIPTOTEKET_DATA_DIR", dir.join("data"))
            .env("SKRIPTOTEKET_LISTEN", format!("127.0.0.1:{port}"))
            .env(
                "SKRIPTOTEKET_MANAGEMENT_LISTEN",
                format!("127.0.0.1:{management_port}"),
            )
            .env("SKRIPTOTEKET_WORKERS", "2")
            .env("SKRIPTOTEKET_BOOTSTRAP_PASSWORD", PASSWORD)
            .envs(settings.iter().copied())
            .env("SKRIPTOTEKET_LOG", "warn")
            .stdout(Stdio::null());
        Self::start(&mut command, port, Some(management_port))
    }

    /// A URL of the public listener.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// A URL of the management listener, or of the only one.
    pub(crate) fn management(&self, path: &str) -> String {
        let port = self.management_port.unwrap_or(self.port);
        format!("http://127.0.0.1:{port}{path}")
    }

    /// Waits until it is ready; returns how long that took from the start of the process.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<Duration> {
        let client = reqwest::Client::new();
        let probe = self.management("/readyz");
        while self.started.elapsed() < TIME_LIMIT {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended: {status}");
            }
            let ready = if self.management_port.is_some() {
                let answer = client.get(&probe).send().await;
                answer.is_ok_and(|answer| answer.status().is_success())
            } else {
                TcpStream::connect(("127.0.0.1", self.port)).is_ok()
            };
            if ready {
                return Ok(self.started.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        bail!("the server was not ready in time")
    }

    /// Logs the superuser in as our API has it; returns the cookie.
    pub(crate) async fn login(&self) -> anyhow::Result<String> {
        let credentials = json!({"username": "admin", "password": PASSWORD});
        let client = reqwest::Client::new();
        cookie_of(client.post(self.url("/api/login")).json(&credentials)).await
    }

    /// The number of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The process, for a signal to it.
    pub(crate) fn process(&self) -> &Child {
        &self.child
    }

    /// Waits until it has ended by itself; returns how long that took.
    pub(crate) async fn ended(mut self) -> anyhow::Result<Duration> {
        let since = Instant::now();
        while since.elapsed() < TIME_LIMIT {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "the server ended: {status}");
                return Ok(since.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        bail!("the server did not end in time")
    }

    /// The processor time that its threads have taken until now.
    ///
    /// `/proc/PID/stat` has it in hundredths of a second, which is more than the differences that are looked for; the
    /// scheduler's own figures, by thread, are in nanoseconds.
    pub(crate) fn cpu_time(&self) -> anyhow::Result<CpuTime> {
        let mut threads = BTreeMap::new();
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.id()))? {
            let thread = thread?;
            // One that has ended meanwhile is not there any more.
            let Ok(stat) = std::fs::read_to_string(thread.path().join("schedstat")) else {
                continue;
            };
            let nanos = stat.split_whitespace().next().context("schedstat")?;
            let id = thread.file_name().into_string();
            threads.insert(id.unwrap_or_default(), Duration::from_nanos(nanos.parse()?));
        }
        ensure!(!threads.is_empty(), "the server has ended");
        Ok(CpuTime { threads })
    }
}

/// The processor time of a process, by thread.
#[derive(Clone, Debug)]
pub(crate) struct CpuTime {
    threads: BTreeMap<String, Duration>,
}

impl CpuTime {
    /// What was spent since an earlier moment by threads that are still there.
    pub(crate) fn since(&self, earlier: &Self) -> Duration {
        let spent = self.threads.iter().map(|(thread, now)| {
            let before = earlier.threads.get(thread).copied().unwrap_or_default();
            now.saturating_sub(before)
        });
        spent.sum()
    }
}

/// Sends a request that starts a session; returns the cookie, as a browser would send it back.
pub(crate) async fn cookie_of(request: reqwest::RequestBuilder) -> anyhow::Result<String> {
    let answer = request.send().await?.error_for_status()?;
    let cookie = answer.headers().get("set-cookie").context("a cookie")?;
    let pair = cookie.to_str()?.split(';').next().context("a cookie")?;
    Ok(pair.to_owned())
}

/// What `wrk` measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Requests per second.
    pub(crate) rate: f64,
    /// Requests that were answered.
    pub(crate) requests: f64,
}

/// Loads a server for some seconds; every answer must be a success.
pub(crate) fn wrk(url: &str, script: &Path, seconds: u32) -> anyhow::Result<Load> {
    let output = Command::new("wrk")
        .args(["-t2", "-c", CONNECTIONS, "-d", &seconds.to_string(), "-s"])
        .arg(script)
        .arg(url)
        .output()
        .context("wrk cannot be run; `make bench` installs it")?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(
        output.status.success() && !text.contains("Non-2xx") && !text.contains("Socket errors"),
        "wrk met errors:\n{text}"
    );
    let rate = text
        .lines()
        .find_map(|line| line.strip_prefix("Requests/sec:"));
    let requests = text
        .lines()
        .find_map(|line| line.trim().split_once(" requests in "));
    Ok(Load {
        rate: rate.context("wrk printed no rate")?.trim().parse()?,
        requests: requests.context("wrk printed no count")?.0.parse()?,
    })
}

/// A `wrk` script that asks with these cookies in turn.
pub(crate) fn cookie_script(dir: &Path, name: &str, cookies: &[String]) -> anyhow::Result<PathBuf> {
    let mut script = String::from("local cookies = {\n");
    for cookie in cookies {
        writeln!(script, "  {cookie:?},")?;
    }
    script.push_str(
        "}\nlocal n = 0\nrequest = function()\n  n = n % #cookies + 1\n  \
         return wrk.format('GET', nil, {Cookie = cookies[n]})\nend\n",
    );
    write_script(dir, name, &script)
}

/// A `wrk` script with this text.
pub(crate) fn write_script(dir: &Path, name: &str, script: &str) -> anyhow::Result<PathBuf> {
    let path = dir.join(name);
    std::fs::write(&path, script)?;
    Ok(path)
}

/// The middle one; of an even number, the upper of the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The median of the ratios within a round.
pub(crate) fn ratio(these: &[f64], to: &[f64]) -> f64 {
    median(these.iter().zip(to).map(|(a, b)| a / b).collect())
}
