//! Tests of the real program as a process: started, scraped, attacked, killed and stopped.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::float_cmp,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "tests fail loudly, counts are whole numbers, and a process runs in real time"
)]

mod acl;
mod connections;
mod contract;
mod deployments;
mod hostile;
mod identities;
mod kill;
mod metrics;
mod nginx;
mod outage;
mod page;
mod process;
mod proxied;
mod raw;
#[path = "../redis_servers/mod.rs"]
mod redis_servers;
mod replicas;
mod shutdown;
mod temporality;
mod told;
