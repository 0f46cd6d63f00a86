//! The pipeline from end to end: Redis, replicas of the real program, a real Collector with the configuration that ships,
//! and a real Prometheus with the scrape configuration and the rules that ship. What is asserted is asked of Prometheus.
//!
//! | file | what is in it |
//! |---|---|
//! | `pace` | time, shortened: the scrape configuration and the rules with every duration divided by the same number |
//! | `prometheus` | the Prometheus process, and what it is asked |
//! | `world` | all servers together, and people who use the service |
//! | `machines` | machines that use it |
//! | `truth` | what Prometheus has is what was done: names, labels, counters, gauges, a rolling restart, hostile requests |
//! | `ordinary` | ordinary days: no alert, and data in every panel and rule |
//! | `direct` | Prometheus scrapes the replicas itself |
//! | `attacks` | scripts that attack, and the alerts that see it |
//! | `services` | services in trouble, and the alerts that see it |
//! | `register` | what Prometheus has of services is the truth; their store fails |
//! | `outages` | a Collector that is away, a store that answers no more |
//! | `unreachable` | Collectors that never were there |
//!
//! **Time.** Ten seconds of production are one here ([`pace::TEST`]): export, scrape and evaluation come every 1.5 s
//! instead of 15 s, the Collector forgets after 3.5 s instead of 35 s, `[5m]` is `[30s]`. So five minutes of ordinary
//! load are 30 s, in which every rule is evaluated as often, and sees as many samples in its windows and its `for`, as in
//! five minutes of production. Counts are not shortened: an alert that asks for 50 wrong passwords in 10 minutes gets
//! them in one, so an attack has ten times the rate that it needs to have in production, and so has what the demo does,
//! which makes silence harder and not easier.
//!
//! | variable | what it sets |
//! |---|---|
//! | `PIPELINE_PACE` | what time is divided by in `outages` (10); with 1 all numbers are those that ship |
//! | `PIPELINE_AWAY_SECONDS` | how long the Collector is away (20) |

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::float_cmp,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "tests fail loudly, tell what they measured, counts are whole numbers, and a process lives in real time"
)]

mod attacks;
#[allow(dead_code, reason = "this crate does not use all of it")]
#[path = "../pipeline/collector.rs"]
mod collector;
mod direct;
mod machines;
mod ordinary;
mod outages;
mod pace;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "this crate does not use all of it"
)]
#[path = "../service/page.rs"]
mod page;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "this crate does not use all of it"
)]
#[path = "../service/process.rs"]
mod process;
mod prometheus;
#[path = "../redis_servers/mod.rs"]
mod redis_servers;
mod register;
mod services;
mod truth;
mod unreachable;
mod world;
