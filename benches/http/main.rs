//! The cost of the service, measured side by side with a bare actix-web handler in one run.
//!
//! `make bench` runs it. `cargo bench --bench http -- --quick` runs it at a small scale, to try it out. Servers are
//! separate processes on loopback. `wrk` loads them in turn, round after round, with 64 connections, so that a noisy
//! machine disturbs all of them alike. The results are medians of the ratios within a round, never absolute figures
//! alone.
//!
//! Promises are judged by the servers' processor time per request, which other programs disturb less than throughput,
//! with a confidence interval over the rounds: kept, missed, or not decided where the interval covers the bound. All
//! parts run, whatever is missed. The run ends with a line for each promise that is missed or not decided, and fails if
//! one is missed.
//!
//! | file | contents |
//! |---|---|
//! | `applications` | the programs to compare with: a bare handler, and one with bearer authentication |
//! | `rounds` | loads servers in turn, and prints the table |
//! | `ours` | the service, as the benchmarks start it |
//! | `checks` | session checks |
//! | `pages` | the login page |
//! | `issuer` | the service with registered machines, and their tokens |
//! | `tokens` | requests with an access token, and introspection |
//! | `limits` | the cost of one decision in Redis; tokens and decisions per second |
//! | `telemetry` | session checks while telemetry is exported |
//! | `size` | start-up and memory |

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark reports to a terminal"
)]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

mod applications;
mod checks;
mod issuer;
mod limits;
mod ours;
mod pages;
mod rounds;
mod size;
mod telemetry;
mod tokens;

use std::process::ExitCode;

use skriptoteket_testing::load::promises::Promises;

/// The scale of a run.
#[derive(Clone, Copy, Debug)]
struct Scale {
    /// Rounds of session checks, and of requests with tokens.
    rounds: usize,
    /// Maximum number of rounds, while a promise is not decided.
    most_rounds: usize,
    /// Seconds that each load of a round takes.
    seconds: u32,
    /// Number of timed starts.
    starts: usize,
}

impl Scale {
    /// Returns a scale of the same duration in short turns, so that small differences show.
    const fn in_small_turns(self) -> Self {
        Self {
            rounds: self.rounds * self.seconds as usize,
            most_rounds: self.most_rounds * self.seconds as usize,
            seconds: 1,
            ..self
        }
    }
}

const FULL: Scale = Scale {
    rounds: 7,
    most_rounds: 28,
    seconds: 3,
    starts: 7,
};

const QUICK: Scale = Scale {
    rounds: 3,
    most_rounds: 3,
    seconds: 1,
    starts: 1,
};

fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Only HTTP is used, but a client requires a crypto provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    if arguments.first().is_some_and(|it| it == applications::NAME) {
        applications::run(&arguments[1..])?;
        return Ok(ExitCode::SUCCESS);
    }
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let promises = runtime.block_on(compare(if quick { QUICK } else { FULL }))?;
    println!("\n{promises}");
    Ok(if promises.are_kept() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs every part, even if a previous one failed.
async fn compare(scale: Scale) -> anyhow::Result<Promises> {
    let dir = tempfile::tempdir()?;
    let of = |part: &str| dir.path().join(part);
    let mut promises = Promises::default();
    let done = checks::compare(&of("checks"), scale, &mut promises).await;
    promises.ended("session checks", done);
    let done = pages::compare(&of("pages"), scale, &mut promises).await;
    promises.ended("pages", done);
    let done = telemetry::compare(&of("telemetry"), scale, &mut promises).await;
    promises.ended("telemetry", done);
    let done = tokens::compare(&of("tokens"), scale, &mut promises).await;
    promises.ended("tokens", done);
    let done = limits::measure(&of("limits"), scale).await;
    promises.ended("limits", done);
    let done = size::measure(&of("size"), scale, &mut promises).await;
    promises.ended("start and size", done);
    Ok(promises)
}
