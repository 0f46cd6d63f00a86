//! Ends expired sessions.

use std::collections::HashMap;

use redis::Value;

use super::{
    answer,
    call::Call,
    keys::{ShardKeys, user_of},
    scripts,
    sessions::RedisSessions,
};
use skriptoteket_core::error::StoreError;
use skriptoteket_sessions::{Ended, SHARDS};

/// Sessions ended by one script call: it blocks the server for two or three milliseconds.
const BATCH: usize = 25;

/// Sessions of one shard that may have expired, and their users, if they can be read.
struct Candidates {
    shard: ShardKeys,
    sids: Vec<String>,
    owners: Vec<Option<String>>,
}

impl RedisSessions {
    /// Ends up to `limit` expired sessions, and adds their ends to `ends`; see
    /// [`SessionRepository::reap`](skriptoteket_sessions::SessionRepository::reap). After an error, `ends` has those that
    /// were returned before it.
    ///
    /// Three steps, because every key must be declared: find the expired sessions, read their users, and end those that
    /// are still expired. If none has expired, only the first step runs.
    pub(super) async fn end_expired(
        &self,
        limit: usize,
        ends: &mut Vec<Ended>,
    ) -> Result<(), StoreError> {
        // Replicas that begin at the same shard would race each other through all of them.
        let first: u8 = rand::random_range(0..SHARDS);
        let mut shards: Vec<ShardKeys> = (first..SHARDS)
            .chain(0..first)
            .map(|number| self.keys.shard(number))
            .collect();
        let mut left = limit;
        while left > 0 && !shards.is_empty() {
            let most = BATCH.min(left);
            let mut due = self.due(shards, most).await?;
            let mut room = left;
            for it in &mut due {
                it.sids.truncate(room);
                room -= it.sids.len();
            }
            due.retain(|it| !it.sids.is_empty());
            if due.is_empty() {
                break;
            }
            self.find_owners(&mut due).await?;
            let counts = self.end_due(&due, ends).await?;
            // If a shard returned as many as requested, or another process was faster, there may be more.
            shards = due
                .into_iter()
                .zip(&counts)
                .filter(|(it, ended)| it.sids.len() == most || it.sids.len() != **ended)
                .map(|(it, _)| it.shard)
                .collect();
            left = left.saturating_sub(counts.iter().sum());
        }
        Ok(())
    }

    /// Returns at most `most` candidates of each shard.
    async fn due(
        &self,
        shards: Vec<ShardKeys>,
        most: usize,
    ) -> Result<Vec<Candidates>, StoreError> {
        let now = self.connection.now();
        let due = |shard: &ShardKeys| {
            Call::script(&scripts::DUE, vec![shard.live()])
                .arg(now)
                .arg(most)
        };
        let answers = self
            .connection
            .call_all(shards.iter().map(due).collect())
            .await?;
        let candidates = |(shard, answer)| {
            Ok(Candidates {
                shard,
                sids: answer::read(answer)?,
                owners: Vec::new(),
            })
        };
        shards.into_iter().zip(answers).map(candidates).collect()
    }

    async fn find_owners(&self, due: &mut [Candidates]) -> Result<(), StoreError> {
        let now = self.connection.now();
        let peek = |it: &Candidates| {
            let keys = it.sids.iter().map(|sid| it.shard.session(sid)).collect();
            Call::script(&scripts::PEEK, keys).arg(now)
        };
        let answers = self
            .connection
            .call_all(due.iter().map(peek).collect())
            .await?;
        for (it, answer) in due.iter_mut().zip(answers) {
            let owners: Vec<Value> = answer::read(answer)?;
            let readable = |owner| match owner {
                Value::BulkString(_) => answer::read(owner).map(Some),
                _ => Ok(None),
            };
            it.owners = owners.into_iter().map(readable).collect::<Result<_, _>>()?;
        }
        Ok(())
    }

    /// Ends those that are still expired. Returns the number for each shard, including those without a readable record.
    async fn end_due(
        &self,
        due: &[Candidates],
        ends: &mut Vec<Ended>,
    ) -> Result<Vec<usize>, StoreError> {
        let now = self.connection.now();
        let reap = |it: &Candidates| {
            let shard = &it.shard;
            let records: Vec<String> = it.sids.iter().map(|sid| shard.session(sid)).collect();
            let users = it.owners.iter().zip(&records).map(|(owner, record)| {
                owner
                    .as_ref()
                    .map_or_else(|| record.clone(), |owner| shard.user(owner))
            });
            let mut keys = vec![shard.live(), shard.users(), shard.totals()];
            keys.extend(records.iter().cloned().chain(users));
            let owners = it.owners.iter().map(|it| it.as_deref().unwrap_or_default());
            Call::script(&scripts::REAP, keys)
                .arg(now)
                .arg(&it.sids)
                .arg(owners.collect::<Vec<&str>>())
        };
        let answers = self
            .connection
            .call_all(due.iter().map(reap).collect())
            .await?;
        let mut counts = Vec::with_capacity(due.len());
        for (it, answer) in due.iter().zip(answers) {
            let [count, ended] = answer::parts(answer)?;
            counts.push(answer::read(count)?);
            let owners: HashMap<&str, &str> = it
                .sids
                .iter()
                .zip(&it.owners)
                .filter_map(|(sid, owner)| Some((sid.as_str(), owner.as_deref()?)))
                .collect();
            let owner = |sid: &str| user_of(owners.get(sid)?);
            ends.extend(answer::ends(it.shard.number(), ended, owner)?);
        }
        Ok(counts)
    }
}
