//! Corrects times written by a clock that was ahead.

use std::time::Duration;

use redis::Value;

use super::{
    answer, call::Call, keys::ShardKeys, record::millis, scripts, sessions::RedisSessions,
};
use skriptoteket_core::{clock::Timestamp, error::StoreError};

/// Sessions per script call: it blocks the server for some milliseconds.
const BATCH: usize = 50;

impl RedisSessions {
    /// The current time of the sessions' clock.
    pub(super) async fn time(&self) -> Result<Timestamp, StoreError> {
        let now = Call::script(&scripts::NOW, vec![self.keys.shard(0).live()]);
        let now: i64 = answer::read(self.connection.call(now.arg(self.connection.now())).await?)?;
        Ok(Timestamp::from_millis(now))
    }

    /// See [`SessionRepository::settle_clock`](skriptoteket_sessions::SessionRepository::settle_clock). Reads the records of
    /// all sessions that expire later than `idle` from now.
    pub(super) async fn settle(&self, idle: Duration) -> Result<u64, StoreError> {
        let mut settled = 0;
        for shard in self.keys.shards() {
            let far = Call::script(&scripts::FAR, vec![shard.live()])
                .arg(self.connection.now())
                .arg(millis(idle));
            let answer = self.connection.in_time(self.connection.call(far)).await?;
            let far: Vec<String> = answer::read(answer)?;
            for sids in far.chunks(BATCH) {
                settled += self
                    .connection
                    .in_time(self.settle_batch(&shard, sids))
                    .await?;
            }
        }
        Ok(settled)
    }

    async fn settle_batch(&self, shard: &ShardKeys, sids: &[String]) -> Result<u64, StoreError> {
        let now = self.connection.now();
        let records: Vec<String> = sids.iter().map(|sid| shard.session(sid)).collect();
        let peek = Call::script(&scripts::PEEK, records.clone()).arg(now);
        let owners: Vec<Value> = answer::read(self.connection.call(peek).await?)?;
        let owners: Vec<String> = owners
            .into_iter()
            .map(|owner| match owner {
                Value::BulkString(_) => answer::read(owner),
                _ => Ok(String::new()),
            })
            .collect::<Result<_, _>>()?;
        let users = owners.iter().zip(&records).map(|(owner, record)| {
            if owner.is_empty() {
                record.clone()
            } else {
                shard.user(owner)
            }
        });
        let mut keys = vec![shard.live(), shard.users()];
        keys.extend(records.iter().cloned().chain(users));
        let settle = Call::script(&scripts::SETTLE_CLOCK, keys)
            .arg(now)
            .arg(sids)
            .arg(&owners);
        answer::read(self.connection.call(settle).await?)
    }
}
