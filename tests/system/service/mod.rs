//! Tests of the real program as a process: started, scraped, attacked, killed and stopped.

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
mod proxied;
mod raw;
mod replicas;
mod shutdown;
mod temporality;
mod told;
