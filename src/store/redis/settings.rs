//! Where Redis is and how it is reached.

use std::{fmt, path::PathBuf, time::Duration};

use secrecy::SecretString;

/// A Redis (or Valkey) that keeps sessions and budgets of guesses, and how it is reached.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// Where it is.
    pub topology: RedisTopology,
    /// Speak TLS to it, and to its Sentinels.
    pub tls: bool,
    /// A PEM file of the authorities that may sign its certificate; without one those of the system.
    pub tls_ca: Option<PathBuf>,
    /// The user (ACL) to log in as; none is the default user.
    pub username: Option<String>,
    /// The user's password; none sends no `AUTH`.
    pub password: Option<SecretString>,
    /// The password of the Sentinels, where they ask for one.
    pub sentinel_password: Option<SecretString>,
    /// What every key begins with, behind the brace of its hash tag: letters, digits, `_`, `-`, `.`.
    pub key_prefix: String,
    /// How long making a connection may take.
    pub connect_timeout: Duration,
    /// Accept a server that may evict keys. It loses sessions that are counted.
    pub allow_eviction: bool,
}

/// How many Redis servers there are, and who finds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisTopology {
    /// One server.
    Standalone {
        /// The server.
        server: RedisAddress,
        /// The number of its database.
        database: u32,
    },
    /// A master that Sentinels watch.
    Sentinel {
        /// The Sentinels; one that answers is enough.
        sentinels: Vec<RedisAddress>,
        /// What they call the master.
        master: String,
        /// The number of its database.
        database: u32,
    },
    /// A Cluster.
    Cluster {
        /// Some of its nodes; one that answers is enough.
        nodes: Vec<RedisAddress>,
    },
}

/// Host and port of a server. An IPv6 address is without brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RedisAddress {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl RedisSettings {
    /// Where the keys are. No user and no password is in it.
    #[must_use]
    pub fn location(&self) -> String {
        let list = |servers: &[RedisAddress]| {
            let mut names: Vec<String> = servers.iter().map(ToString::to_string).collect();
            names.sort();
            names.join(",")
        };
        let servers = match &self.topology {
            RedisTopology::Standalone { server, database } => {
                format!("redis://{server}/{database}")
            }
            // The master's name is the same whichever of the Sentinels are listed.
            RedisTopology::Sentinel {
                master, database, ..
            } => format!("redis+sentinel://…/{master}/{database}"),
            RedisTopology::Cluster { nodes } => format!("redis+cluster://{}", list(nodes)),
        };
        format!("{servers}, redis_key_prefix {}", self.key_prefix)
    }
}
