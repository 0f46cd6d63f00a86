//! Building blocks of the benchmarks: servers in their own processes, load by `wrk`, medians and ratios.

#![expect(
    clippy::missing_errors_doc,
    clippy::cast_precision_loss,
    reason = "an error ends the benchmark with its message, and measured numbers are far below 2^52"
)]

pub mod meter;
pub mod promises;

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

use crate::{program::program, service::PASSWORD};

/// Connections that `wrk` keeps open.
pub const CONNECTIONS: &str = "64";

/// Settings with which a login costs little more than its store calls, and is not limited.
pub const CHEAP_LOGINS: &[(&str, &str)] = &[
    ("SKRIPTOTEKET_ARGON2_MEMORY_KIB", "8"),
    ("SKRIPTOTEKET_ARGON2_ITERATIONS", "1"),
    ("SKRIPTOTEKET_MAX_SESSIONS_PER_USER", "1000"),
    ("SKRIPTOTEKET_GUARD_ACCOUNT_ATTEMPTS", "1000000"),
    ("SKRIPTOTEKET_GUARD_ADDRESS_ATTEMPTS", "1000000"),
];

/// Maximum time for a server to start.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// A server process. It is killed when this is dropped, and when the benchmark ends in any way.
#[derive(Debug)]
pub struct Server {
    child: Child,
    port: u16,
    /// The port of the readiness probe. A server without one is ready when it listens.
    management_port: Option<u16>,
    started: Instant,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a command for a program that ends with the thread that starts it, which has to be the main thread.
pub fn ending_with_thread(path: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(path);
    command
}

impl Server {
    /// Starts a server that listens on `port` and has no readiness probe.
    pub fn spawn(command: &mut Command, port: u16) -> anyhow::Result<Self> {
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

    /// Starts the service in `dir` on these two ports.
    pub fn skriptoteket(
        dir: &Path,
        [port, management_port]: [u16; 2],
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let mut command = ending_with_thread(program());
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

    /// Returns a URL of the public listener.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Returns a URL of the management listener, or of the only listener.
    pub fn management(&self, path: &str) -> String {
        let port = self.management_port.unwrap_or(self.port);
        format!("http://127.0.0.1:{port}{path}")
    }

    /// Waits until the server is ready. Returns the time since the start of the process.
    pub async fn ready(&mut self) -> anyhow::Result<Duration> {
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

    /// Logs the superuser in through the service's API, and returns the cookie.
    pub async fn login(&self) -> anyhow::Result<String> {
        let credentials = json!({"username": "admin", "password": PASSWORD});
        let client = reqwest::Client::new();
        cookie_of(client.post(self.url("/api/login")).json(&credentials)).await
    }

    /// Returns the process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the process, to send a signal to it.
    pub fn process(&self) -> &Child {
        &self.child
    }

    /// Waits until the process has ended on its own. Returns the time that this took.
    pub async fn ended(mut self) -> anyhow::Result<Duration> {
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

    /// Returns the processor time that its threads have used so far.
    ///
    /// `/proc/PID/stat` has hundredths of a second, which is coarser than the differences to measure. The scheduler's
    /// own figures, by thread, are in nanoseconds.
    pub fn cpu_time(&self) -> anyhow::Result<CpuTime> {
        let mut threads = BTreeMap::new();
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.id()))? {
            let thread = thread?;
            // The thread has ended meanwhile.
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
pub struct CpuTime {
    threads: BTreeMap<String, Duration>,
}

impl CpuTime {
    /// Returns the time used since an earlier moment by threads that still exist.
    pub fn since(&self, earlier: &Self) -> Duration {
        let spent = self.threads.iter().map(|(thread, now)| {
            let before = earlier.threads.get(thread).copied().unwrap_or_default();
            now.saturating_sub(before)
        });
        spent.sum()
    }
}

/// Sends a request that starts a session. Returns the cookie as a browser would send it back.
pub async fn cookie_of(request: reqwest::RequestBuilder) -> anyhow::Result<String> {
    let answer = request.send().await?.error_for_status()?;
    let cookie = answer.headers().get("set-cookie").context("a cookie")?;
    let pair = cookie.to_str()?.split(';').next().context("a cookie")?;
    Ok(pair.to_owned())
}

/// The measurements of `wrk`.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Requests per second.
    pub rate: f64,
    /// Requests that got a response.
    pub requests: f64,
}

/// Loads a server for some seconds. Every response must be a success.
pub fn wrk(url: &str, script: &Path, seconds: u32) -> anyhow::Result<Load> {
    let output = Command::new("wrk")
        .args(["-t2", "-c", CONNECTIONS, "-d", &seconds.to_string(), "-s"])
        .arg(script)
        .arg(url)
        .output()
        .context("wrk cannot be run; `make bench` installs it")?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(
        output.status.success() && !text.contains("Non-2xx") && !text.contains("Socket errors"),
        "wrk reported errors:\n{text}"
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

/// Writes a `wrk` script that sends these cookies in turn.
pub fn cookie_script(dir: &Path, name: &str, cookies: &[String]) -> anyhow::Result<PathBuf> {
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

/// Writes a `wrk` script with this text.
pub fn write_script(dir: &Path, name: &str, script: &str) -> anyhow::Result<PathBuf> {
    let path = dir.join(name);
    std::fs::write(&path, script)?;
    Ok(path)
}

/// Returns the median; for an even number of values, the upper of the two in the middle.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Returns the median of the ratios within a round.
pub fn ratio(these: &[f64], to: &[f64]) -> f64 {
    median(these.iter().zip(to).map(|(a, b)| a / b).collect())
}
