//! The observer lease in Redis.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::{answer, call::Call, connection::Connection, keys::Keys, record::millis, scripts};
use skriptoteket_core::error::StoreError;
use skriptoteket_sessions::{Lease, ObserverLease};

/// The observer lease of one replica.
#[derive(Clone, Debug)]
pub struct RedisObserver {
    connection: Connection,
    keys: Keys,
    /// Identifies this process.
    holder: String,
    /// The deployment that the keys have to belong to; empty if it is not compared.
    deployment: String,
}

impl RedisObserver {
    pub(super) fn new(connection: Connection, keys: Keys, deployment: String) -> Self {
        let holder = format!("{:032x}", rand::random::<u128>());
        Self {
            connection,
            keys,
            holder,
            deployment,
        }
    }
}

#[async_trait]
impl ObserverLease for RedisObserver {
    async fn hold(&self, service: Uuid, ttl: Duration) -> Result<Lease, StoreError> {
        let keys = vec![self.keys.lease(), self.keys.epoch(), self.keys.deployment()];
        let service = service.simple().to_string();
        let hold = Call::script(&scripts::HOLD, keys)
            .arg(&self.holder)
            .arg(millis(ttl).max(1))
            .arg(&service)
            .arg(&self.deployment);
        let answer = self.connection.in_time(self.connection.call(hold)).await?;
        let (mine, epoch, kin, foreign): (u8, u64, u8, u8) = answer::read(answer)?;
        if foreign == 1 {
            // Redis lost its data, and a server of another deployment claimed the keys first.
            self.connection.disown(&self.keys.lease());
            return Err(StoreError::Unavailable(
                "the keys in Redis belong to another deployment".into(),
            ));
        }
        Ok(Lease {
            mine: mine == 1,
            kin: kin == 1,
            epoch,
        })
    }

    async fn release(&self) -> Result<(), StoreError> {
        let release = Call::script(&scripts::RELEASE, vec![self.keys.lease()]).arg(&self.holder);
        self.connection
            .in_time(self.connection.call(release))
            .await?;
        Ok(())
    }
}
