//! Where a connection leads.

use std::fmt;

use crate::store::RedisAddress;

/// Where a connection leads.
#[derive(Clone, Debug)]
pub(super) enum Target {
    Server {
        server: RedisAddress,
        database: u32,
    },
    /// Whoever is the master by what the Sentinels say.
    Master {
        sentinels: Vec<RedisAddress>,
        name: String,
        database: u32,
    },
    /// A master of a Cluster.
    Node(RedisAddress),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server { server, .. } | Self::Node(server) => server.fmt(f),
            Self::Master { name, .. } => write!(f, "the master {name} of the Sentinels"),
        }
    }
}
