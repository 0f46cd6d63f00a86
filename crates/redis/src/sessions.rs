//! Sessions in Redis.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use redis::Value;
use tokio::sync::Mutex;

use super::{
    answer::{self, Done},
    call::{Call, Wait},
    connection::Connection,
    keys::{Keys, ShardKeys, sid, uid},
    record::{self, millis},
    scripts, totals,
};
use skriptoteket_core::{clock::Timestamp, error::StoreError};
use skriptoteket_login::accounts::UserId;
use skriptoteket_sessions::{
    Census, Count, EndReason, Ended, NewSession, RoleUpdate, RoleUpdated, SHARDS, SessionFilter,
    SessionId, SessionRecord, SessionRepository, SessionState, shard_of,
};

/// Sessions in Redis.
#[derive(Clone, Debug)]
pub struct RedisSessions {
    pub(super) connection: Connection,
    pub(super) keys: Keys,
    /// Calls of this process that have to be repeated run one after the other, by shard: each call that succeeds makes
    /// the others repeat theirs.
    pub(super) turns: Arc<[Mutex<()>]>,
}

impl RedisSessions {
    pub(super) fn new(connection: Connection, keys: Keys) -> Self {
        let turns = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self {
            connection,
            keys,
            turns,
        }
    }

    /// Returns the record of a live session.
    ///
    /// Responds within the store timeout: a batched read gives up earlier, and then the connection is given up as well,
    /// so that the call that follows is rejected at once.
    ///
    /// Reads the record first and then the time: a record that is live at that time was live when it was read. Every
    /// request makes this call, and two commands for all requests of one moment cost the server a fraction of one
    /// script call for each.
    async fn live_record(&self, id: &SessionId) -> Result<Option<Vec<u8>>, StoreError> {
        let key = self.keys.shard_of_session(id).session(sid(id));
        // If the key is missing or holds another type, the script reports which.
        if let Some((record @ Value::BulkString(_), time)) =
            self.connection.read_together(key).await
        {
            let now = match self.connection.now() {
                0 => time,
                given => given,
            };
            let record = answer::record(record)?;
            return Ok(record.filter(|record| record::is_live(record, now)));
        }
        // Boxed: it would make the future of every request much larger.
        Box::pin(async {
            let load = self.on_record(&scripts::LOAD, id, |_| Vec::new());
            answer::record(self.connection.in_time(self.connection.call(load)).await?)
        })
        .await
    }
}

#[async_trait]
impl SessionRepository for RedisSessions {
    async fn create(
        &self,
        session: NewSession,
        max_per_user: u32,
    ) -> Result<(SessionRecord, Vec<Ended>), StoreError> {
        // An ID in another user's shard belongs to that user. A session here would be out of reach of the calls that
        // end it.
        if session.id.shard() != shard_of(session.user_id) {
            return Err(StoreError::Conflict);
        }
        let shard = self.keys.shard_of_session(&session.id);
        let (sid, uid) = (sid(&session.id), uid(session.user_id));
        let payload = record::payload(&session)?;
        let call = |others: &[String]| {
            let mut keys = vec![
                shard.session(sid),
                shard.user(&uid),
                shard.live(),
                shard.users(),
                shard.totals(),
                shard.roles(),
            ];
            keys.extend(others.iter().map(|other| shard.session(other)));
            Call::script(&scripts::CREATE, keys)
                .arg(self.connection.now())
                .arg(sid)
                .arg(&uid)
                .arg(session.role as u8)
                .arg(millis(session.idle))
                .arg(millis(session.lifetime))
                .arg(max_per_user)
                .arg(&payload)
                .arg(session.account_version)
                .arg(others)
        };
        let done =
            self.connection
                .in_time(self.naming_all(&shard, Vec::new(), Wait::ForMaster, call));
        let [now, expires_at, ends_at, evicted, role] = answer::parts(Value::Array(done.await?))?;
        let evicted = answer::ends(shard.number(), evicted, |_| Some(session.user_id))?;
        let now = Timestamp::from_millis(answer::read(now)?);
        let role = answer::role(role)?;
        let record = SessionRecord {
            id: session.id,
            user_id: session.user_id,
            username: session.username,
            role,
            key_role: role,
            created_at: now,
            last_seen_at: now,
            expires_at: Timestamp::from_millis(answer::read(expires_at)?),
            ends_at: Timestamp::from_millis(answer::read(ends_at)?),
            idle: Duration::from_millis(millis(session.idle)),
            user_agent: session.user_agent,
            network: session.network,
            state: session.state,
        };
        Ok((record, evicted))
    }

    async fn load(&self, id: &SessionId) -> Result<Option<SessionRecord>, StoreError> {
        let record = self.live_record(id).await?;
        record
            .map(|record| record::decode(id.clone(), &record))
            .transpose()
    }

    async fn touch(
        &self,
        id: &SessionId,
        idle: Duration,
        step: Duration,
    ) -> Result<Option<SessionRecord>, StoreError> {
        let touch = self
            .on_record(&scripts::TOUCH, id, |shard| {
                vec![shard.live(), shard.users()]
            })
            .arg(sid(id))
            .arg(millis(idle))
            .arg(millis(step));
        let answer = self.connection.in_time(self.connection.call(touch)).await?;
        let record = answer::record(answer)?;
        record
            .map(|record| record::decode(id.clone(), &record))
            .transpose()
    }

    async fn update(&self, id: &SessionId, state: &SessionState) -> Result<bool, StoreError> {
        let update = self
            .on_record(&scripts::UPDATE, id, |_| Vec::new())
            .arg(record::state_text(state)?);
        let answer = self
            .connection
            .in_time(self.connection.call(update))
            .await?;
        match answer::read(answer)? {
            1 => Ok(true),
            0 => Ok(false),
            _ => Err(StoreError::Corrupt("session")),
        }
    }

    async fn renew(
        &self,
        old: &SessionId,
        user: UserId,
        new: &SessionId,
    ) -> Result<Option<SessionRecord>, StoreError> {
        let shard = shard_of(user);
        if new.shard() != shard {
            return Err(StoreError::Conflict);
        }
        if old.shard() != shard {
            return Ok(None);
        }
        let uid = uid(user);
        let renew = self
            .on_record(&scripts::RENEW, old, |shard| {
                vec![
                    shard.session(sid(new)),
                    shard.user(&uid),
                    shard.live(),
                    shard.users(),
                ]
            })
            .arg(sid(old))
            .arg(sid(new))
            .arg(&uid);
        // The old key is revoked: a replica that takes over must not accept it any more.
        match self
            .connection
            .in_time(self.connection.call_durably(renew))
            .await?
        {
            Value::Int(0) => Err(StoreError::Conflict),
            answer => {
                let record = answer::record(answer)?;
                let decoded = record.map(|record| record::decode(new.clone(), &record));
                decoded.transpose()
            }
        }
    }

    async fn end(&self, id: &SessionId, reason: EndReason) -> Result<Option<Ended>, StoreError> {
        self.connection.in_time(self.end_one(id, reason)).await
    }

    async fn end_user(
        &self,
        user: UserId,
        reason: EndReason,
        keep: Option<&SessionId>,
    ) -> Result<Vec<Ended>, StoreError> {
        let kept = keep.map_or("", sid);
        self.end_of_user(user, reason, (kept, 0)).await
    }

    async fn end_older(&self, user: UserId, version: i64) -> Result<Vec<Ended>, StoreError> {
        self.end_of_user(user, EndReason::Revoked, ("", version))
            .await
    }

    async fn set_role(&self, user: UserId, update: RoleUpdate) -> Result<RoleUpdated, StoreError> {
        let (shard, uid) = (self.keys.shard_of_user(user), uid(user));
        let told = |call: Call| {
            call.arg(self.connection.now())
                .arg(&uid)
                .arg(update.role as u8)
                .arg(update.version)
                .arg(update.replaces)
        };
        let call = |moved: &[String]| {
            let mut keys = vec![
                shard.user(&uid),
                shard.live(),
                shard.users(),
                shard.totals(),
                shard.roles(),
            ];
            keys.extend(moved.iter().map(|sid| shard.session(sid)));
            told(Call::script(&scripts::SET_ROLE, keys)).arg(moved)
        };
        self.connection
            .in_time(async {
                let known = self.indexed(&shard, &uid).await?;
                let done = if known.is_empty() {
                    // A login that comes in between has read an older account version, and detects that.
                    let keys = vec![shard.roles()];
                    let none = told(Call::script(&scripts::SET_ROLE_OF_NONE, keys));
                    match Done::read(self.connection.call_durably(none).await?)? {
                        Done::Finished(parts) => parts,
                        Done::AlreadyExists | Done::Needs(_) => {
                            return Err(StoreError::Corrupt("answer"));
                        }
                    }
                } else {
                    self.naming_all(&shard, known, Wait::ForReplica, call)
                        .await?
                };
                let [moved, newest] = answer::parts(Value::Array(done))?;
                Ok(match answer::read(newest)? {
                    0 => RoleUpdated::Moved(answer::read(moved)?),
                    newest => RoleUpdated::Outdated { newest },
                })
            })
            .await
    }

    async fn list_user(&self, user: UserId) -> Result<Vec<SessionRecord>, StoreError> {
        self.connection
            .in_time(async {
                let mut ids = self.live_of_user(user).await?;
                ids.reverse();
                self.records(&ids).await
            })
            .await
    }

    async fn page(
        &self,
        filter: SessionFilter,
        after: Option<&SessionId>,
        limit: u32,
    ) -> Result<Vec<SessionRecord>, StoreError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.connection
            .in_time(self.list_page(filter, after, limit))
            .await
    }

    async fn reap(&self, limit: u32) -> Result<Vec<Ended>, StoreError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut ends = Vec::new();
        let done = self
            .connection
            .in_time(self.end_expired(limit, &mut ends))
            .await;
        // No other call returns these ends again. The next call reports the error.
        if ends.is_empty() {
            done?;
        }
        Ok(ends)
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.connection.in_time(self.time()).await
    }

    async fn settle_clock(&self, idle: Duration) -> Result<u64, StoreError> {
        self.settle(idle).await
    }

    async fn census(&self) -> Result<Census, StoreError> {
        Ok(self.count().await?.census)
    }

    async fn count(&self) -> Result<Count, StoreError> {
        let now = self.connection.now();
        let count = |shard: ShardKeys| {
            let keys = vec![shard.live(), shard.users(), shard.totals()];
            Call::script(&scripts::CENSUS, keys).arg(now)
        };
        let counts = self.keys.shards().map(count).collect();
        let shards = self
            .connection
            .in_time(self.connection.call_all(counts))
            .await?;
        totals::count_of(shards)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.connection.in_time(self.connection.ping()).await
    }
}
