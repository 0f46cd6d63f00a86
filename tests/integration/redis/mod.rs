//! Failures of Redis: each invalid setting and each network fault, against real servers.

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
