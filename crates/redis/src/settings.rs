//! The location of Redis and how to connect.

use std::{fmt, path::PathBuf, time::Duration};

use secrecy::SecretString;

/// A Redis (or Valkey) that stores sessions and login throttling, and how to connect to it.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// The servers.
    pub topology: RedisTopology,
    /// Use TLS for Redis and its Sentinels.
    pub tls: bool,
    /// A PEM file with the certificate authorities to trust; without it, those of the system.
    pub tls_ca: Option<PathBuf>,
    /// The user (ACL) to log in as; `None` is the default user.
    pub username: Option<String>,
    /// The user's password; `None` sends no `AUTH`.
    pub password: Option<SecretString>,
    /// The password of the Sentinels, if they require one.
    pub sentinel_password: Option<SecretString>,
    /// The prefix of every key, after the brace of its hash tag: letters, digits, `_`, `-`, `.`.
    pub key_prefix: String,
    /// Timeout for creating a connection.
    pub connect_timeout: Duration,
    /// Accept a server that may evict keys. Eviction loses sessions that are counted.
    pub allow_eviction: bool,
}

/// How the Redis servers are deployed and found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisTopology {
    /// One server.
    Standalone {
        /// The server.
        server: RedisAddress,
        /// The number of its database.
        database: u32,
    },
    /// A master that Sentinels monitor.
    Sentinel {
        /// The Sentinels; one that responds is enough.
        sentinels: Vec<RedisAddress>,
        /// The name of the master in the Sentinels.
        master: String,
        /// The number of its database.
        database: u32,
    },
    /// A Cluster.
    Cluster {
        /// Some of its nodes; one that responds is enough.
        nodes: Vec<RedisAddress>,
    },
}

/// Host and port of a server. An IPv6 address has no brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RedisAddress {
    /// Host name or address.
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
    /// The location of the keys, without user name and password.
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
            // The master's name is the same whichever Sentinels are listed.
            RedisTopology::Sentinel {
                master, database, ..
            } => format!("redis+sentinel://…/{master}/{database}"),
            RedisTopology::Cluster { nodes } => format!("redis+cluster://{}", list(nodes)),
        };
        format!("{servers}, redis_key_prefix {}", self.key_prefix)
    }
}
