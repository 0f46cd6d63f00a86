//! Redis as it fails: each bad setting and each fault of the network, against real servers.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test takes for granted fails loudly"
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
