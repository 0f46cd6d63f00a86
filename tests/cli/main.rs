//! The command line as people and scripts use it: the real binary, each test in a directory of its own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail loudly")]

mod accounts;
mod alerts;
mod audit;
mod configuration;
mod harness;
mod help;
mod integrity;
mod metrics;
mod ports;
#[path = "../redis_servers/mod.rs"]
mod redis_servers;
mod service;
mod services;
mod sessions;
