//! The cost of sessions in Redis, measured side by side with other implementations in one run.
//!
//! `make bench-redis` builds the peers and runs it. `cargo bench --bench sessions -- --quick` runs it at a small scale,
//! to try it out. It starts its own Redis, two peers (`benches/peers/`) and the service, each in its own process on
//! loopback, and loads them in turn, round after round, so that a noisy machine disturbs all of them alike. Ratios are
//! medians of the ratios within a round. It prints the tables of `docs/benchmarks.md`.
//!
//! | file | contents |
//! |---|---|
//! | `population` | the service's repository, filled with sessions |
//! | `counting` | the census compared with SCAN + MGET, and the memory of a session |
//! | `scanning` | sessions as connect-redis stores them, counted by SCAN + MGET |
//! | `calls` | the cost of each repository call |
//! | `peers` | the servers to compare with |
//! | `checks` | session checks by `wrk` |
//! | `logins` | logins with the census on and off |
//! | `expiry` | sessions that expire without any further request |

#![expect(clippy::print_stdout, reason = "a benchmark reports to a terminal")]
#![expect(clippy::print_stderr, reason = "a benchmark reports its progress")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
#![expect(
    clippy::cast_precision_loss,
    reason = "measured numbers are far below 2^52"
)]

mod calls;
mod checks;
mod counting;
mod expiry;
mod logins;
mod peers;
mod population;
mod scanning;

use std::{fmt, time::Instant};

use anyhow::ensure;
use population::Population;
use skriptoteket_testing::{load::meter::Meter, redis::RedisServer};

/// The scale of a run.
#[derive(Clone, Copy, Debug)]
struct Scale {
    /// Numbers of live sessions to count. The other parts run with the last of these.
    sizes: &'static [u64],
    /// Calls of each kind.
    calls: usize,
    /// Rounds of `wrk`, and the seconds that each load of a round takes.
    rounds: usize,
    seconds: u32,
    /// Sessions that expire unused.
    expiring: u64,
}

const FULL: Scale = Scale {
    sizes: &[10_000, 100_000, 1_000_000],
    calls: 20_000,
    rounds: 7,
    seconds: 4,
    expiring: 100_000,
};

const QUICK: Scale = Scale {
    sizes: &[1_000, 10_000],
    calls: 2_000,
    rounds: 3,
    seconds: 2,
    expiring: 5_000,
};

fn main() -> anyhow::Result<()> {
    let quick = std::env::args().any(|argument| argument == "--quick");
    // Only HTTP is used, but a client requires a crypto provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(compare(if quick { QUICK } else { FULL }))
}

async fn compare(scale: Scale) -> anyhow::Result<()> {
    let started = Instant::now();
    let dir = tempfile::tempdir()?;
    peers::check_built()?;
    let redis = RedisServer::start(&[]);
    println!("{}\n", machine(&mut Meter::open(&redis.url())?)?);

    let mut population =
        Population::open(&dir.path().join(checks::SERVICE).join("data"), &redis.url()).await?;
    counting::compare(&mut population, &redis, scale).await?;
    calls::measure(&population, &redis, scale).await?;
    checks::compare(dir.path(), &redis, scale).await?;
    logins::compare(dir.path(), &redis, scale).await?;
    drop(redis);
    expiry::measure(dir.path(), scale).await?;
    println!("\nThe run took {:.0} s.", started.elapsed().as_secs_f64());
    Ok(())
}

/// Prints progress to the terminal, apart from the tables.
fn progress(what: fmt::Arguments<'_>) {
    eprintln!("  … {what}");
}

/// Returns a description of the machine.
fn machine(redis: &mut Meter) -> anyhow::Result<String> {
    let processors = std::thread::available_parallelism()?;
    let model = std::fs::read_to_string("/proc/cpuinfo")?
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown", |model| {
            model.trim_start_matches([' ', '\t', ':'])
        })
        .to_owned();
    let node = std::process::Command::new("node")
        .arg("--version")
        .output()?;
    ensure!(node.status.success(), "node --version failed");
    Ok(format!(
        "{processors} processors ({model}), Redis {}, Node.js {}; everything on one machine, over loopback.",
        redis.version()?,
        String::from_utf8_lossy(&node.stdout).trim(),
    ))
}
