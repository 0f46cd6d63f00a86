//! Start-up time and memory, with default settings throughout, including OWASP's cost of a password hash.

use std::{path::Path, time::Duration};

use anyhow::Context;
use skriptoteket_testing::{
    load::{
        Server, median,
        promises::{Interval, Promises},
    },
    ports::free_port,
    process::send_signal,
};

use super::{Scale, ours::start_ours};

/// The maximum time from a signal to the end of an idle service, in seconds.
const STOP: f64 = 2.0;

pub(crate) async fn measure(
    dir: &Path,
    scale: Scale,
    promises: &mut Promises,
) -> anyhow::Result<()> {
    // The first start creates the database and the superuser. It is not counted.
    drop(start_ours(dir, &[]).await?);
    let (mut starts, mut stops) = (Vec::new(), Vec::new());
    for _ in 0..scale.starts {
        let mut server = Server::skriptoteket(dir, [free_port(), free_port()], &[])?;
        starts.push(server.ready().await?.as_secs_f64());
        send_signal(server.process(), "TERM");
        stops.push(server.ended().await?.as_secs_f64());
    }
    let server = start_ours(dir, &[]).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let idle = resident(&server)?;
    for _ in 0..20 {
        server.login().await?;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    println!("\n# Start and size\n\n| what | value |\n|---|---:|");
    println!("| start to ready, median | {:.3} s |", median(starts));
    println!("| signal to end, median | {:.3} s |", median(stops.clone()));
    promises.judge("signal to end", Interval::of(&stops), STOP, " s");
    println!("| resident memory, idle | {idle:.1} MiB |");
    println!(
        "| resident memory, idle after 20 logins | {:.1} MiB |",
        resident(&server)?
    );
    Ok(())
}

/// Returns the resident memory in MiB.
fn resident(server: &Server) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id()))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(kib.context("VmRSS")?.parse::<f64>()? / 1024.0)
}
