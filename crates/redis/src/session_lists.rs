//! Lists of sessions: those of one user, and pages of all.

use redis::Value;

use super::{
    answer,
    call::Call,
    keys::{ShardKeys, session_of, sid, uid},
    record::decode_if_readable,
    scripts,
    sessions::RedisSessions,
};
use skriptoteket_core::error::StoreError;
use skriptoteket_login::accounts::{Role, UserId};
use skriptoteket_sessions::{SHARDS, SessionFilter, SessionId, SessionRecord};

/// Records read by one command.
const BATCH: usize = 200;

impl RedisSessions {
    /// Returns the live sessions of a user, oldest first.
    pub(super) async fn live_of_user(&self, user: UserId) -> Result<Vec<SessionId>, StoreError> {
        let shard = self.keys.shard_of_user(user);
        let keys = vec![shard.user(&uid(user)), shard.live()];
        let live = Call::script(&scripts::LIVE_OF_USER, keys).arg(self.connection.now());
        let live: Vec<String> = answer::read(self.connection.call(live).await?)?;
        Ok(ids(&shard, live).collect())
    }

    /// Returns the readable records of these sessions, in this order. Missing ones are left out.
    pub(super) async fn records(
        &self,
        ids: &[SessionId],
    ) -> Result<Vec<SessionRecord>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let batches: Vec<&[SessionId]> = ids
            .chunk_by(|a, b| a.shard() == b.shard())
            .flat_map(|of_shard| of_shard.chunks(BATCH))
            .collect();
        let read = |batch: &&[SessionId]| {
            let key = |id: &SessionId| self.keys.shard_of_session(id).session(sid(id));
            Call::command("MGET", batch.iter().map(key).collect())
        };
        let answers = self
            .connection
            .call_all(batches.iter().map(read).collect())
            .await?;
        let mut records = Vec::with_capacity(ids.len());
        for (batch, answer) in batches.into_iter().zip(answers) {
            let found: Vec<Value> = answer::read(answer)?;
            for (id, found) in batch.iter().zip(found) {
                if let Value::BulkString(record) = found {
                    records.extend(decode_if_readable(id.clone(), &record));
                }
            }
        }
        Ok(records)
    }

    /// Returns one page; see [`SessionRepository::page`](skriptoteket_sessions::SessionRepository::page).
    ///
    /// IDs begin with their shard, so the shards are read one after the other: the IDs of all live sessions of a shard,
    /// and the records of those on the page. The cost is one shard, a 64th of all IDs, if that fills the page.
    pub(super) async fn list_page(
        &self,
        filter: SessionFilter,
        after: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<SessionRecord>, StoreError> {
        let mut page = Page {
            after,
            role: filter.role,
            limit,
            records: Vec::new(),
        };
        if let Some(user) = filter.user {
            let ids = self.live_of_user(user).await?;
            self.fill(&mut page, ids).await?;
            return Ok(page.records);
        }
        let first = after.map_or(0, SessionId::shard);
        let mut shards = (first..SHARDS).map(|number| self.keys.shard(number));
        let mut together = 1;
        while page.records.len() < limit {
            let group: Vec<ShardKeys> = shards.by_ref().take(together).collect();
            if group.is_empty() {
                break;
            }
            let ids = self.live_of_shards(&group, filter.role).await?;
            self.fill(&mut page, ids).await?;
            // If few sessions are spread over all shards, most shards are read at once.
            together *= 4;
        }
        Ok(page.records)
    }

    /// Returns the live sessions of these shards.
    async fn live_of_shards(
        &self,
        shards: &[ShardKeys],
        role: Option<Role>,
    ) -> Result<Vec<SessionId>, StoreError> {
        let roles: Vec<u16> = match role {
            Some(role) => vec![role as u16],
            None => Role::ALL.map(|role| role as u16).to_vec(),
        };
        let now = self.connection.now();
        let live = |shard: &ShardKeys| {
            Call::script(&scripts::LIVE_OF_SHARD, vec![shard.live()])
                .arg(now)
                .arg(&roles)
        };
        let answers = self
            .connection
            .call_all(shards.iter().map(live).collect())
            .await?;
        let mut found = Vec::new();
        for (shard, answer) in shards.iter().zip(answers) {
            let by_role: Vec<Vec<String>> = answer::read(answer)?;
            found.extend(ids(shard, by_role.into_iter().flatten()));
        }
        Ok(found)
    }

    /// Adds the records that belong on the page, until it is full or there are no more: unreadable records must not
    /// make this look like the last page.
    async fn fill(&self, page: &mut Page<'_>, mut ids: Vec<SessionId>) -> Result<(), StoreError> {
        ids.retain(|id| page.after.is_none_or(|after| id > after));
        ids.sort_unstable();
        let mut rest = ids.as_slice();
        while page.records.len() < page.limit && !rest.is_empty() {
            let room = page.limit - page.records.len();
            let (next, later) = rest.split_at(room.min(rest.len()));
            let records = self.records(next).await?;
            // The role may have changed since the index was read.
            let matching = |it: &SessionRecord| page.role.is_none_or(|role| it.role == role);
            page.records.extend(records.into_iter().filter(matching));
            rest = later;
        }
        Ok(())
    }
}

/// A page under construction.
struct Page<'a> {
    after: Option<&'a SessionId>,
    role: Option<Role>,
    limit: usize,
    records: Vec<SessionRecord>,
}

fn ids(
    shard: &ShardKeys,
    sids: impl IntoIterator<Item = String>,
) -> impl Iterator<Item = SessionId> {
    let number = shard.number();
    sids.into_iter()
        .filter_map(move |sid| session_of(number, &sid))
}
