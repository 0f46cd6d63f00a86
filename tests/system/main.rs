//! Tests of the program as a process, and of everything around it: other programs, simulated users, and faults.
//!
//! | module | what is tested |
//! |---|---|
//! | `chaos` | replicas, simulated users and faults |
//! | `cli` | the command line |
//! | `demo` | `skriptoteket demo` |
//! | `embedding` | other applications with our sessions |
//! | `end_to_end` | the service, the Collector, Prometheus, rules and boards together |
//! | `interop` | OAuth clients, load, bursts, attackers and `kill -9` |
//! | `pages` | the web pages in Chromium |
//! | `service` | the server: started, scraped, attacked, killed and stopped |

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::float_cmp,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "tests fail loudly and print measurements, counts are whole numbers, and a process runs in real time"
)]

mod chaos;
mod cli;
#[cfg(feature = "demo")]
mod demo;
mod embedding;
mod end_to_end;
mod interop;
mod pages;
mod service;
