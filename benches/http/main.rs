//! What the service costs, side by side with a bare actix-web handler, in one run.
//!
//! `make bench` runs it; `cargo bench --bench http -- --quick` runs it in small, to try it out. Servers are separate
//! processes on loopback; `wrk` loads them in turn, round after round, with 64 connections, so that a noisy machine disturbs
//! all of them alike. Reported are medians of the ratios within a round, never absolute figures alone. What is promised and
//! missed fails the run.
//!
//! | file | what is in it |
//! |---|---|
//! | `applications` | the programs to compare with: a bare handler, and one behind a gate |
//! | `rounds` | servers under load in turn, and the table of it |
//! | `ours` | our service, as it is started |
//! | `checks` | session checks |
//! | `issuer` | our service with machines in its register, and their tokens |
//! | `tokens` | requests with an access token, and introspection |
//! | `limits` | what one decision costs Redis; tokens and decisions per second |
//! | `size` | start-up and memory |

#![expect(clippy::print_stdout, reason = "a benchmark reports to a terminal")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
#![expect(
    clippy::cast_precision_loss,
    reason = "measured numbers are far below 2^52"
)]

mod applications;
mod checks;
mod issuer;
mod limits;
#[path = "../load/mod.rs"]
mod load;
mod ours;
#[path = "../../tests/redis_servers/mod.rs"]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "written for tests, which fail loudly"
)]
mod redis_servers;
mod rounds;
mod size;
mod tokens;

use anyhow::ensure;

/// How much of everything.
#[derive(Clone, Copy, Debug)]
struct Scale {
    /// Rounds of session checks, and of requests with tokens.
    rounds: usize,
    /// Seconds that each load of a round takes.
    seconds: u32,
    /// Starts that are timed.
    starts: usize,
}

impl Scale {
    /// As long, in turns so short that small differences show.
    const fn in_small_turns(self) -> Self {
        Self {
            rounds: self.rounds * self.seconds as usize,
            seconds: 1,
            ..self
        }
    }
}

const FULL: Scale = Scale {
    rounds: 7,
    seconds: 3,
    starts: 7,
};

const QUICK: Scale = Scale {
    rounds: 3,
    seconds: 1,
    starts: 1,
};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Only http is spoken, but a client wants to know how it would speak TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    if arguments.first().is_some_and(|it| it == applications::NAME) {
        return applications::run(&arguments[1..]);
    }
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(compare(if quick { QUICK } else { FULL }))
}

async fn compare(scale: Scale) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let mut missed = Vec::new();
    checks::compare(&dir.path().join("checks"), scale).await?;
    missed.extend(tokens::compare(&dir.path().join("tokens"), scale).await?);
    limits::measure(&dir.path().join("limits"), scale).await?;
    size::measure(&dir.path().join("size"), scale).await?;
    ensure!(
        missed.is_empty(),
        "promised and missed: {}",
        missed.join(", ")
    );
    Ok(())
}
