//! The command line as users and scripts run it: the real binary, with a separate directory for each test.

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
