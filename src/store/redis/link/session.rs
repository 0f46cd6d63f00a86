//! A connection that was made and checked, as calls use it.

use std::sync::atomic::{AtomicBool, Ordering};

use redis::aio::MultiplexedConnection;

use super::{checks::Replication, fault::Why};
use crate::config::RedisAddress;

/// A checked connection to one server.
pub(super) struct Session {
    pub(super) address: RedisAddress,
    /// What all calls share.
    pub(super) shared: MultiplexedConnection,
    /// For calls that wait for a replica: `WAIT` holds up all that comes behind it.
    pub(super) durable: MultiplexedConnection,
    has_replica: AtomicBool,
}

impl Session {
    pub(super) fn new(
        address: RedisAddress,
        shared: MultiplexedConnection,
        durable: MultiplexedConnection,
        replication: Replication,
    ) -> Self {
        Self {
            address,
            shared,
            durable,
            has_replica: AtomicBool::new(replication.has_replica),
        }
    }

    pub(super) fn has_replica(&self) -> bool {
        self.has_replica.load(Ordering::Relaxed)
    }

    /// Asks both connections for a sign of life, and whether the server is still a master.
    pub(super) async fn look(&self) -> Result<(), Why> {
        let (mut shared, mut durable) = (self.shared.clone(), self.durable.clone());
        let mut info = redis::cmd("INFO");
        info.arg("replication");
        let ping = redis::cmd("PING");
        let (replication, alive) = tokio::join!(
            shared.send_packed_command(&info),
            durable.send_packed_command(&ping)
        );
        alive.map_err(Why::Broken)?;
        let replication = Replication::read(&replication.map_err(Why::Broken)?);
        if replication.is_replica {
            return Err(Why::Replica);
        }
        self.has_replica
            .store(replication.has_replica, Ordering::Relaxed);
        Ok(())
    }
}
