//! Answers session checks from memory, so that a check needs no SQL.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use skriptoteket_core::{
    clock::{Clock, Timestamp},
    error::StoreError,
};
use skriptoteket_login::accounts::UserId;
use skriptoteket_sessions::{
    Census, Count, EndReason, Ended, NewSession, RoleUpdate, RoleUpdated, SHARDS, SessionFilter,
    SessionId, SessionRecord, SessionRepository, SessionState, shard_of,
};

/// How long a record is considered current: another process, for example the command line, may change the file in the
/// meantime.
const MAX_AGE: Duration = Duration::from_millis(500);

/// Maximum number of records per shard: some 100,000 in total, at about half a kilobyte each.
const SHARD_CAPACITY: usize = 1_560;

/// A session repository that caches loaded records for half a second.
///
/// Writes through it are visible at once. Writes by others become visible when the record reaches that age; an expiry
/// is always visible. Only sessions that were found are cached: forged IDs cannot fill the cache.
pub struct Cached {
    inner: Arc<dyn SessionRepository>,
    clock: Arc<dyn Clock>,
    /// By [`SessionId::shard`], so that all sessions of a user are in one shard.
    shards: Vec<Mutex<Shard>>,
}

#[derive(Default)]
struct Shard {
    /// Increases with every write. A record whose load began under an older generation may be outdated and is not kept.
    generation: u64,
    records: HashMap<SessionId, Remembered>,
}

impl Shard {
    /// Keeps a record whose load began at `asked_at` under this generation. A full shard drops outdated records, or all
    /// if none is outdated.
    fn remember(&mut self, record: SessionRecord, asked_at: Duration, generation: u64) {
        if self.generation != generation {
            return;
        }
        if self.records.len() >= SHARD_CAPACITY {
            self.records.retain(|_, it| it.is_fresh(asked_at));
        }
        if self.records.len() >= SHARD_CAPACITY {
            self.records.clear();
        }
        let id = record.id.clone();
        self.records.insert(id, Remembered { record, asked_at });
    }
}

struct Remembered {
    record: SessionRecord,
    /// When the load began, by the monotonic clock.
    asked_at: Duration,
}

impl Remembered {
    const fn is_fresh(&self, now: Duration) -> bool {
        now.saturating_sub(self.asked_at).as_nanos() < MAX_AGE.as_nanos()
    }
}

/// The records that a write may have changed.
#[derive(Clone, Copy)]
enum Changed<'a> {
    Session(&'a SessionId),
    User(UserId),
}

/// Removes changed records from the cache when it is dropped: after the write, whether it succeeded, failed or was
/// cancelled.
struct Write<'a> {
    cache: &'a Cached,
    changed: Changed<'a>,
}

impl Drop for Write<'_> {
    fn drop(&mut self) {
        self.cache.forget(self.changed);
    }
}

impl Cached {
    /// Caches what `inner` loads.
    #[must_use]
    pub fn new(inner: Arc<dyn SessionRepository>, clock: Arc<dyn Clock>) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self {
            inner,
            clock,
            shards,
        }
    }

    fn shard(&self, number: u8) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[usize::from(number) % self.shards.len()];
        // A shard is a cache: a panic can at worst have left one entry out.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    const fn write<'a>(&'a self, changed: Changed<'a>) -> Write<'a> {
        Write {
            cache: self,
            changed,
        }
    }

    fn forget(&self, changed: Changed<'_>) {
        match changed {
            Changed::Session(id) => {
                let mut shard = self.shard(id.shard());
                shard.generation += 1;
                shard.records.remove(id);
            }
            Changed::User(user) => {
                let mut shard = self.shard(shard_of(user));
                shard.generation += 1;
                shard.records.retain(|_, it| it.record.user_id != user);
            }
        }
    }
}

impl fmt::Debug for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cached").field(&self.inner).finish()
    }
}

#[async_trait]
impl SessionRepository for Cached {
    async fn create(
        &self,
        session: NewSession,
        max_per_user: u32,
    ) -> Result<(SessionRecord, Vec<Ended>), StoreError> {
        // Other sessions of the user may change their role or be evicted.
        let _write = self.write(Changed::User(session.user_id));
        self.inner.create(session, max_per_user).await
    }

    async fn load(&self, id: &SessionId) -> Result<Option<SessionRecord>, StoreError> {
        let asked_at = self.clock.monotonic();
        let generation = {
            let shard = self.shard(id.shard());
            let known = shard.records.get(id).filter(|it| it.is_fresh(asked_at));
            if let Some(known) = known
                && known.record.expires_at > self.clock.now()
            {
                return Ok(Some(known.record.clone()));
            }
            shard.generation
        };
        let record = self.inner.load(id).await?;
        if let Some(record) = &record {
            self.shard(id.shard())
                .remember(record.clone(), asked_at, generation);
        }
        Ok(record)
    }

    async fn touch(
        &self,
        id: &SessionId,
        idle: Duration,
        step: Duration,
    ) -> Result<Option<SessionRecord>, StoreError> {
        let _write = self.write(Changed::Session(id));
        self.inner.touch(id, idle, step).await
    }

    async fn update(&self, id: &SessionId, state: &SessionState) -> Result<bool, StoreError> {
        let _write = self.write(Changed::Session(id));
        self.inner.update(id, state).await
    }

    async fn renew(
        &self,
        old: &SessionId,
        user: UserId,
        new: &SessionId,
    ) -> Result<Option<SessionRecord>, StoreError> {
        let _write = self.write(Changed::User(user));
        self.inner.renew(old, user, new).await
    }

    async fn end(&self, id: &SessionId, reason: EndReason) -> Result<Option<Ended>, StoreError> {
        let _write = self.write(Changed::Session(id));
        self.inner.end(id, reason).await
    }

    async fn end_user(
        &self,
        user: UserId,
        reason: EndReason,
        keep: Option<&SessionId>,
    ) -> Result<Vec<Ended>, StoreError> {
        let _write = self.write(Changed::User(user));
        self.inner.end_user(user, reason, keep).await
    }

    async fn end_older(&self, user: UserId, version: i64) -> Result<Vec<Ended>, StoreError> {
        let _write = self.write(Changed::User(user));
        self.inner.end_older(user, version).await
    }

    async fn set_role(&self, user: UserId, update: RoleUpdate) -> Result<RoleUpdated, StoreError> {
        let _write = self.write(Changed::User(user));
        self.inner.set_role(user, update).await
    }

    async fn list_user(&self, user: UserId) -> Result<Vec<SessionRecord>, StoreError> {
        self.inner.list_user(user).await
    }

    async fn page(
        &self,
        filter: SessionFilter,
        after: Option<&SessionId>,
        limit: u32,
    ) -> Result<Vec<SessionRecord>, StoreError> {
        self.inner.page(filter, after, limit).await
    }

    async fn reap(&self, limit: u32) -> Result<Vec<Ended>, StoreError> {
        let ended = self.inner.reap(limit).await?;
        // Nothing depends on this, because an expiry is always visible; it frees the memory.
        for end in &ended {
            self.forget(Changed::Session(&end.id));
        }
        Ok(ended)
    }

    async fn settle_clock(&self, idle: Duration) -> Result<u64, StoreError> {
        let settled = self.inner.settle_clock(idle).await?;
        if settled > 0 {
            for number in 0..SHARDS {
                let mut shard = self.shard(number);
                shard.generation += 1;
                shard.records.clear();
            }
        }
        Ok(settled)
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.inner.now().await
    }

    async fn census(&self) -> Result<Census, StoreError> {
        self.inner.census().await
    }

    async fn count(&self) -> Result<Count, StoreError> {
        self.inner.count().await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skriptoteket_login::accounts::Role;
    use skriptoteket_sessions::SessionKey;

    /// Creates a record in the shard of `user`.
    fn record(user: UserId) -> SessionRecord {
        let now = Timestamp::default();
        SessionRecord {
            id: SessionKey::generate(user).id(),
            user_id: user,
            username: "ada".parse().unwrap(),
            role: Role::User,
            key_role: Role::User,
            created_at: now,
            last_seen_at: now,
            expires_at: now,
            ends_at: now,
            idle: Duration::ZERO,
            user_agent: String::new(),
            network: None,
            state: SessionState::new(),
        }
    }

    #[test]
    fn a_full_shard_gives_up_what_is_outdated_and_else_everything() {
        let user = UserId::generate();
        let mut shard = Shard::default();

        for _ in 0..SHARD_CAPACITY {
            shard.remember(record(user), Duration::ZERO, 0);
        }
        assert_eq!(shard.records.len(), SHARD_CAPACITY);
        let almost = MAX_AGE.saturating_sub(Duration::from_millis(1));
        shard.remember(record(user), almost, 0);
        assert_eq!(shard.records.len(), 1);

        for _ in 1..SHARD_CAPACITY {
            shard.remember(record(user), Duration::ZERO, 0);
        }
        assert_eq!(shard.records.len(), SHARD_CAPACITY);
        shard.remember(record(user), MAX_AGE, 0);
        assert_eq!(shard.records.len(), 2);
    }
}
