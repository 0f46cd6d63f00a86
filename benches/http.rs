//! What the service costs, side by side with a bare actix-web handler, in one run.
//!
//! `make bench` runs it. Servers are separate processes on loopback; `wrk` loads them in turn, round after round, with
//! 64 connections, so that a noisy machine disturbs all of them alike. Reported are medians of the ratios within a
//! round, never absolute figures alone.

#![expect(clippy::print_stdout, reason = "a benchmark reports to a terminal")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::{
    fmt::Write as _,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

const CONNECTIONS: &str = "64";
const SECONDS: &str = "4";
const ROUNDS: usize = 7;
/// Sessions that the spread load draws from.
const SESSIONS: usize = 1_000;
const PASSWORD: &str = "tundra-lantern-quarry-41";

/// The answer of the bare handler is as long as that of `GET /api/session`.
const BARE_ANSWER: &str = r#"{"user":{"id":"019a8f3e-0000-7000-8000-000000000000","username":"admin","role":"superuser"},"session":{"id":"00AAAAAAAAAAAAAAAAAAAAAA","created_at":"2026-01-01T12:00:00.000Z","expires_at":"2026-01-01T12:30:00.000Z"}}"#;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("bare") {
        let port = arguments.next().context("a port")?.parse()?;
        return bare(port);
    }
    // Only http is spoken, but a client wants to know how it would speak TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(compare())
}

/// The thing to compare with: actix-web, two workers, one handler, nothing else.
fn bare(port: u16) -> anyhow::Result<()> {
    use actix_web::{App, HttpResponse, HttpServer, web};
    let answer = || async {
        HttpResponse::Ok()
            .content_type("application/json")
            .body(BARE_ANSWER)
    };
    let server = HttpServer::new(move || App::new().route("/api/session", web::get().to(answer)))
        .workers(2)
        .bind(("127.0.0.1", port))?;
    actix_web::rt::System::new().block_on(server.run())?;
    Ok(())
}

/// A server process that ends with this value.
struct Server {
    child: Child,
    port: u16,
    management_port: u16,
    started: Instant,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn bare() -> anyhow::Result<Self> {
        let port = free_port()?;
        let child = Command::new(std::env::current_exe()?)
            .args(["bare", &port.to_string()])
            .spawn()?;
        Ok(Self {
            child,
            port,
            management_port: port,
            started: Instant::now(),
        })
    }

    fn skriptoteket(dir: &Path, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let (port, management_port) = (free_port()?, free_port()?);
        let started = Instant::now();
        let child = Command::new(env!("CARGO_BIN_EXE_skriptoteket"))
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
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self {
            child,
            port,
            management_port,
            started,
        })
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/api/session", self.port)
    }

    /// Waits for the readiness probe; returns how long it took from the start of the process.
    async fn ready(&mut self) -> anyhow::Result<Duration> {
        let url = format!("http://127.0.0.1:{}/readyz", self.management_port);
        let client = reqwest::Client::new();
        while self.started.elapsed() < Duration::from_secs(20) {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended: {status}");
            }
            // The bare server has no probe: any answer means that it listens.
            if client.get(&url).send().await.is_ok_and(|answer| {
                answer.status().is_success() || self.management_port == self.port
            }) {
                return Ok(self.started.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        bail!("the server was not ready in time")
    }

    /// Logs the superuser in; returns the cookie.
    async fn login(&self) -> anyhow::Result<String> {
        let credentials = json!({"username": "admin", "password": PASSWORD});
        let answer = reqwest::Client::new()
            .post(format!("http://127.0.0.1:{}/api/login", self.port))
            .json(&credentials)
            .send()
            .await?
            .error_for_status()?;
        let cookie = answer.headers()["set-cookie"].to_str()?;
        let pair = cookie.split(';').next().context("a cookie")?;
        Ok(pair.to_owned())
    }

    /// Resident memory in MiB.
    fn resident(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        Ok(kib.context("VmRSS")?.parse::<f64>()? / 1024.0)
    }
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Requests per second that `wrk` measures; every answer must be a 200.
fn wrk(server: &Server, script: &Path) -> anyhow::Result<f64> {
    let output = Command::new("wrk")
        .args(["-t2", "-c", CONNECTIONS, "-d", SECONDS, "-s"])
        .arg(script)
        .arg(server.url())
        .output()
        .context("wrk cannot be run; `make bench` installs it")?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(
        output.status.success() && !text.contains("Non-2xx"),
        "wrk met errors:\n{text}"
    );
    let rate = text
        .lines()
        .find_map(|line| line.strip_prefix("Requests/sec:"));
    Ok(rate.context("wrk printed no rate")?.trim().parse()?)
}

/// A `wrk` script that sends these cookies in turn.
fn cookie_script(dir: &Path, name: &str, cookies: &[String]) -> anyhow::Result<std::path::PathBuf> {
    let mut script = String::from("local cookies = {\n");
    for cookie in cookies {
        writeln!(script, "  {cookie:?},")?;
    }
    script.push_str(
        "}\nlocal n = 0\nrequest = function()\n  n = n % #cookies + 1\n  \
         return wrk.format('GET', nil, {Cookie = cookies[n]})\nend\n",
    );
    let path = dir.join(name);
    std::fs::write(&path, script)?;
    Ok(path)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn compare() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    println!(
        "\n# Throughput of GET /api/session (wrk, 2 threads, {CONNECTIONS} connections, {ROUNDS} rounds of {SECONDS} s)\n"
    );
    throughput(dir.path()).await?;
    println!("\n# Start and size\n");
    start_and_size(dir.path()).await
}

async fn throughput(dir: &Path) -> anyhow::Result<()> {
    // Hashing is not what is measured here, and a thousand sessions have to be started.
    let cheap = [
        ("SKRIPTOTEKET_ARGON2_MEMORY_KIB", "8"),
        ("SKRIPTOTEKET_ARGON2_ITERATIONS", "1"),
        ("SKRIPTOTEKET_MAX_SESSIONS_PER_USER", "1000"),
    ];
    let off = [&cheap[..], &[("OTEL_SDK_DISABLED", "true")]].concat();
    let mut bare = Server::bare()?;
    let (on_dir, off_dir) = (dir.join("on"), dir.join("off"));
    std::fs::create_dir_all(&on_dir)?;
    std::fs::create_dir_all(&off_dir)?;
    let mut on = Server::skriptoteket(&on_dir, &cheap)?;
    let mut off = Server::skriptoteket(&off_dir, &off)?;
    for server in [&mut bare, &mut on, &mut off] {
        server.ready().await?;
    }
    let mut cookies = Vec::with_capacity(SESSIONS);
    for _ in 0..SESSIONS {
        cookies.push(on.login().await?);
    }
    check_answer(&on, &cookies[0]).await?;
    let one = cookie_script(dir, "one.lua", &cookies[..1])?;
    let many = cookie_script(dir, "many.lua", &cookies)?;
    let without = cookie_script(dir, "off.lua", &[off.login().await?])?;

    let mut rates: [Vec<f64>; 4] = Default::default();
    for _ in 0..ROUNDS {
        rates[0].push(wrk(&bare, &one)?);
        rates[1].push(wrk(&on, &one)?);
        rates[2].push(wrk(&off, &without)?);
        rates[3].push(wrk(&on, &many)?);
    }
    let ratio = |a: usize, b: usize| {
        let pairs = rates[a].iter().zip(&rates[b]);
        median(pairs.map(|(a, b)| a / b).collect())
    };
    println!("| what | median requests/s | ratio |\n|---|---:|---:|");
    let row = |name: &str, index: usize, ratio: &str| {
        println!("| {name} | {:.0} | {ratio} |", median(rates[index].clone()));
    };
    row("bare actix-web handler", 0, "1");
    row(
        "session check, one session",
        1,
        &format!("{:.2} of bare", ratio(1, 0)),
    );
    row(
        "session check, 1,000 sessions in turn",
        3,
        &format!("{:.2} of bare", ratio(3, 0)),
    );
    row(
        "session check, instruments off",
        2,
        &format!("{:.2} of bare", ratio(2, 0)),
    );
    println!("\ninstruments on against off: {:.3}", ratio(1, 2));
    Ok(())
}

async fn check_answer(server: &Server, cookie: &str) -> anyhow::Result<()> {
    let answer = reqwest::Client::new()
        .get(server.url())
        .header("cookie", cookie)
        .send()
        .await?
        .error_for_status()?;
    let body: Value = serde_json::from_str(&answer.text().await?)?;
    ensure!(body["user"]["username"] == "admin", "the session answers");
    Ok(())
}

/// Default settings throughout: OWASP's cost of a password hash included.
async fn start_and_size(dir: &Path) -> anyhow::Result<()> {
    let dir = dir.join("size");
    std::fs::create_dir_all(&dir)?;
    // The first start makes the database and the superuser; it is not counted.
    Server::skriptoteket(&dir, &[])?.ready().await?;
    let mut starts = Vec::new();
    for _ in 0..ROUNDS {
        let mut server = Server::skriptoteket(&dir, &[])?;
        starts.push(server.ready().await?.as_secs_f64());
    }
    let mut server = Server::skriptoteket(&dir, &[])?;
    server.ready().await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let idle = server.resident()?;
    for _ in 0..20 {
        server.login().await?;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    println!("| what | value |\n|---|---:|");
    println!("| start to ready, median | {:.3} s |", median(starts));
    println!("| resident memory, idle | {idle:.1} MiB |");
    println!(
        "| resident memory, idle after 20 logins | {:.1} MiB |",
        server.resident()?
    );
    Ok(())
}
