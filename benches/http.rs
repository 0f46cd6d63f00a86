//! What the service costs, side by side with a bare actix-web handler, in one run.
//!
//! `make bench` runs it. Servers are separate processes on loopback; `wrk` loads them in turn, round after round, with
//! 64 connections, so that a noisy machine disturbs all of them alike. Reported are medians of the ratios within a
//! round, never absolute figures alone.

#![expect(clippy::print_stdout, reason = "a benchmark reports to a terminal")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

mod load;

use std::{net::TcpListener, path::Path, time::Duration};

use anyhow::{Context, ensure};
use serde_json::Value;

use load::{CHEAP_LOGINS, CONNECTIONS, Server, cookie_script, median, program, ratio, wrk};

const SECONDS: u32 = 4;
const ROUNDS: usize = 7;
const CHECK: &str = "/api/session";
/// Sessions that the spread load draws from.
const SESSIONS: usize = 1_000;

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

fn start_bare() -> anyhow::Result<Server> {
    let port = free_port()?;
    let mut command = program(std::env::current_exe()?);
    Server::spawn(command.args(["bare", &port.to_string()]), port)
}

fn start_ours(dir: &Path, settings: &[(&str, &str)]) -> anyhow::Result<Server> {
    std::fs::create_dir_all(dir)?;
    Server::skriptoteket(dir, [free_port()?, free_port()?], settings)
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Resident memory in MiB.
fn resident(server: &Server) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id()))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(kib.context("VmRSS")?.parse::<f64>()? / 1024.0)
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
    let off = [CHEAP_LOGINS, &[("OTEL_SDK_DISABLED", "true")]].concat();
    let mut bare = start_bare()?;
    // Hashing is not what is measured here, and a thousand sessions have to be started.
    let mut on = start_ours(&dir.join("on"), CHEAP_LOGINS)?;
    let mut off = start_ours(&dir.join("off"), &off)?;
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
        rates[0].push(wrk(&bare.url(CHECK), &one, SECONDS)?.rate);
        rates[1].push(wrk(&on.url(CHECK), &one, SECONDS)?.rate);
        rates[2].push(wrk(&off.url(CHECK), &without, SECONDS)?.rate);
        rates[3].push(wrk(&on.url(CHECK), &many, SECONDS)?.rate);
    }
    let ratio = |a: usize, b: usize| ratio(&rates[a], &rates[b]);
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
        .get(server.url(CHECK))
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
    // The first start makes the database and the superuser; it is not counted.
    start_ours(&dir, &[])?.ready().await?;
    let mut starts = Vec::new();
    for _ in 0..ROUNDS {
        let mut server = start_ours(&dir, &[])?;
        starts.push(server.ready().await?.as_secs_f64());
    }
    let mut server = start_ours(&dir, &[])?;
    server.ready().await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let idle = resident(&server)?;
    for _ in 0..20 {
        server.login().await?;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    println!("| what | value |\n|---|---:|");
    println!("| start to ready, median | {:.3} s |", median(starts));
    println!("| resident memory, idle | {idle:.1} MiB |");
    println!(
        "| resident memory, idle after 20 logins | {:.1} MiB |",
        resident(&server)?
    );
    Ok(())
}
