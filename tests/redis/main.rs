//! Failures of Redis: each invalid setting and each network fault, against real servers.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "failed preconditions fail the test"
)]

#[path = "../redis_servers/mod.rs"]
mod redis_servers;

mod acl;
mod cluster;
mod deployments;
mod dropped;
mod failover;
mod harness;
mod lost;
mod outages;
mod overload;
mod starts;
mod tls;
mod workers;
