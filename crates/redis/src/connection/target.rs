//! The target of a connection.

use std::fmt;

use crate::RedisAddress;

/// The target of a connection.
#[derive(Clone, Debug)]
pub(super) enum Target {
    Server {
        server: RedisAddress,
        database: u32,
    },
    /// The master that the Sentinels report.
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
