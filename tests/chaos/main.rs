//! Chaos: replicas of the real program on one Redis, people who use them, and all that goes wrong. Whatever happens, at every
//! checkpoint what is exported is what is there, and what clients were told is so.
//!
//! | file | what is in it |
//! |---|---|
//! | `run` | the run: who takes part, how long, what is told of it |
//! | `faults` | what goes wrong |
//! | `people`, `operator` | what is asked of the service |
//! | `model`, `rules` | what must be so after what clients were told |
//! | `enumeration` | all sessions, read from Redis by the test's own means |
//! | `checkpoint` | the comparison of all three |
//! | `killed` | ten thousand sessions, and `kill -9` |
//! | `topologies` | a Cluster that loses a node, Sentinels that change the master |

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "tests fail loudly, tell how they go, and a process lives in real time"
)]

mod checkpoint;
mod enumeration;
mod faults;
mod killed;
mod model;
mod model_tests;
mod operator;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "this crate does not use all of it"
)]
#[path = "../service/page.rs"]
mod page;
mod people;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "this crate does not use all of it"
)]
#[path = "../service/process.rs"]
mod process;
#[path = "../redis_servers/mod.rs"]
mod redis_servers;
mod replicas;
mod rules;
mod run;
mod topologies;
mod world;
