//! Where sessions are kept, in words.

use super::{RedisAddress, RedisSettings, RedisTopology};

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
