//! Who observes, as a lease in Redis.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::{answer, call::Call, keys::Keys, link::Link, record::millis, scripts};
use crate::{
    error::StoreError,
    sessions::{Lease, ObserverLease},
};

/// One replica's hold on the lease.
#[derive(Clone, Debug)]
pub(in crate::store) struct RedisObserver {
    link: Link,
    keys: Keys,
    /// Tells this process from the others.
    holder: String,
}

impl RedisObserver {
    pub(super) fn new(link: Link, keys: Keys) -> Self {
        let holder = format!("{:032x}", rand::random::<u128>());
        Self { link, keys, holder }
    }
}

#[async_trait]
impl ObserverLease for RedisObserver {
    async fn hold(&self, service: Uuid, ttl: Duration) -> Result<Lease, StoreError> {
        let keys = vec![self.keys.lease(), self.keys.epoch()];
        let service = service.simple().to_string();
        let hold = Call::script(&scripts::HOLD, keys)
            .arg(&self.holder)
            .arg(millis(ttl).max(1))
            .arg(&service);
        let answer = self.link.in_time(self.link.call(hold)).await?;
        let (mine, epoch, kin): (u8, u64, u8) = answer::read(answer)?;
        Ok(Lease {
            mine: mine == 1,
            kin: kin == 1,
            epoch,
        })
    }

    async fn release(&self) -> Result<(), StoreError> {
        let release = Call::script(&scripts::RELEASE, vec![self.keys.lease()]).arg(&self.holder);
        self.link.in_time(self.link.call(release)).await?;
        Ok(())
    }
}
