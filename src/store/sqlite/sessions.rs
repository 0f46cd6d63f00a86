//! Sessions in SQLite.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::{Sqlite, query::Query, sqlite::SqliteArguments};

use super::{
    SqliteFile,
    error::Failure,
    session_lists::{list_of_user, list_page},
    session_roles::{live_of_user, move_live, put_in_force, role_in_force},
    session_rows::{Tally, census_of, insert, load, record_of, state_text},
    session_sql as sql,
};
use crate::{
    accounts::UserId,
    clock::Timestamp,
    error::StoreError,
    sessions::{
        Census, EndReason, Ended, NewSession, RoleUpdate, RoleUpdated, SessionFilter, SessionId,
        SessionRecord, SessionRepository, SessionState, shard_of,
    },
};

/// Sessions in the embedded file.
#[derive(Clone, Debug)]
pub(in crate::store) struct SqliteSessions {
    file: SqliteFile,
}

impl SqliteSessions {
    /// Creates the repository of the sessions in this file.
    pub(in crate::store) const fn new(file: SqliteFile) -> Self {
        Self { file }
    }

    /// Ends the sessions that this statement deletes.
    async fn end_all(
        &self,
        doomed: Query<'static, Sqlite, SqliteArguments>,
        reason: EndReason,
    ) -> Result<Vec<Ended>, StoreError> {
        self.file
            .in_time(async {
                let mut transaction = self.file.begin().await.map_err(Failure)?;
                let rows = doomed.fetch_all(&mut *transaction).await.map_err(Failure)?;
                let mut tally = Tally::default();
                let ended = tally.end_all(&rows, self.file.now(), reason)?;
                tally.count(&mut transaction).await.map_err(Failure)?;
                transaction.commit().await.map_err(Failure)?;
                Ok(ended)
            })
            .await
    }

    /// Creates the record of a session that starts now.
    fn begin(&self, new: NewSession) -> SessionRecord {
        let now = self.file.now();
        let ends_at = now.plus(new.lifetime);
        SessionRecord {
            id: new.id,
            user_id: new.user_id,
            username: new.username,
            role: new.role,
            key_role: new.role,
            created_at: now,
            last_seen_at: now,
            expires_at: now.plus(new.idle).min(ends_at),
            ends_at,
            idle: new.idle,
            user_agent: new.user_agent,
            network: new.network,
            state: new.state,
        }
    }
}

#[async_trait]
impl SessionRepository for SqliteSessions {
    async fn create(
        &self,
        session: NewSession,
        max_per_user: u32,
    ) -> Result<(SessionRecord, Vec<Ended>), StoreError> {
        let state = state_text(&session.state)?;
        self.file
            .in_time(async {
                let mut transaction = self.file.begin().await.map_err(Failure)?;
                // The time is read after the lock was acquired, which may have taken a while.
                let version = session.account_version;
                let mut record = self.begin(session);
                let now = record.created_at;
                let in_force = role_in_force(&mut transaction, record.user_id).await?;
                if let Some((role, newest)) = in_force
                    && newest > version
                {
                    record.role = role;
                    record.key_role = role;
                }
                let mut tally = Tally::default();
                let others = live_of_user(&mut transaction, record.user_id, now).await?;
                insert(&mut transaction, &record, version, state).await?;
                tally.start(record.role);
                let (user, role) = (record.user_id, record.role);
                move_live(&mut transaction, user, role, now, &others, &mut tally).await?;
                // The new session is always kept.
                let room = usize::try_from(max_per_user.max(1) - 1).unwrap_or(usize::MAX);
                let mut evicted = Vec::new();
                for (oldest, _) in &others[..others.len().saturating_sub(room)] {
                    let rows = sqlx::query(sql::EVICT)
                        .bind(oldest)
                        .fetch_all(&mut *transaction)
                        .await
                        .map_err(Failure)?;
                    evicted.extend(tally.end_all(&rows, now, EndReason::Evicted)?);
                }
                tally.count(&mut transaction).await.map_err(Failure)?;
                transaction.commit().await.map_err(Failure)?;
                Ok((record, evicted))
            })
            .await
    }

    async fn load(&self, id: &SessionId) -> Result<Option<SessionRecord>, StoreError> {
        self.file
            .in_time(async {
                let mut connection = self.file.reader().await.map_err(Failure)?;
                load(&mut connection, id, self.file.now()).await
            })
            .await
    }

    async fn touch(
        &self,
        id: &SessionId,
        idle: Duration,
        step: Duration,
    ) -> Result<Option<SessionRecord>, StoreError> {
        self.file
            .in_time(async {
                let mut transaction = self.file.begin().await.map_err(Failure)?;
                // Read after the lock was acquired: a session that expired during the wait must not come back.
                let now = self.file.now();
                let touched = sqlx::query(sql::TOUCH)
                    .bind(id.as_str().to_owned())
                    .bind(now.as_millis())
                    .bind(now.plus(idle).as_millis())
                    .bind(i64::try_from(step.as_millis()).unwrap_or(i64::MAX))
                    .fetch_optional(&mut *transaction)
                    .await
                    .map_err(Failure)?;
                let record = match touched {
                    Some(row) => Some(record_of(&row)?),
                    None => load(&mut transaction, id, now).await?,
                };
                transaction.commit().await.map_err(Failure)?;
                Ok(record)
            })
            .await
    }

    async fn update(&self, id: &SessionId, state: &SessionState) -> Result<bool, StoreError> {
        let state = state_text(state)?;
        self.file
            .in_time(async {
                let mut transaction = self.file.begin().await.map_err(Failure)?;
                let updated = sqlx::query(sql::UPDATE)
                    .bind(id.as_str().to_owned())
                    .bind(self.file.now().as_millis())
                    .bind(state)
                    .execute(&mut *transaction)
                    .await
                    .map_err(Failure)?;
                transaction.commit().await.map_err(Failure)?;
                Ok(updated.rows_affected() > 0)
            })
            .await
    }

    async fn renew(
        &self,
        old: &SessionId,
        user: UserId,
        new: &SessionId,
    ) -> Result<Option<SessionRecord>, StoreError> {
        if new.shard() != shard_of(user) {
            return Err(StoreError::Conflict);
        }
        self.file
            .in_time(async {
                let mut transaction = self.file.begin().await.map_err(Failure)?;
                let renewed = sqlx::query(sql::RENEW)
                    .bind(old.as_str().to_owned())
                    .bind(self.file.now().as_millis())
                    .bind(new.as_str().to_owned())
                    .bind(user.to_string())
                    .fetch_optional(&mut *transaction)
                    .await
                    .map_err(Failure)?;
                let record = renewed.as_ref().map(record_of).transpose()?;
                transaction.commit().await.map_err(Failure)?;
                Ok(record)
            })
            .await
    }

    async fn end(&self, id: &SessionId, reason: EndReason) -> Result<Option<Ended>, StoreError> {
        self.file
            .in_time(async {
                let mut transaction = self.file.begin().await.map_err(Failure)?;
                let rows = sqlx::query(sql::END)
                    .bind(id.as_str().to_owned())
                    .fetch_all(&mut *transaction)
                    .await
                    .map_err(Failure)?;
                let mut tally = Tally::default();
                let ended = tally.end_all(&rows, self.file.now(), reason)?;
                tally.count(&mut transaction).await.map_err(Failure)?;
                transaction.commit().await.map_err(Failure)?;
                Ok(ended.into_iter().next())
            })
            .await
    }

    async fn end_user(
        &self,
        user: UserId,
        reason: EndReason,
        keep: Option<&SessionId>,
    ) -> Result<Vec<Ended>, StoreError> {
        let doomed = sqlx::query(sql::END_USER)
            .bind(user.to_string())
            .bind(keep.map(|id| id.as_str().to_owned()));
        self.end_all(doomed, reason).await
    }

    async fn end_older(&self, user: UserId, version: i64) -> Result<Vec<Ended>, StoreError> {
        let doomed = sqlx::query(sql::END_OLDER)
            .bind(user.to_string())
            .bind(version);
        self.end_all(doomed, EndReason::Revoked).await
    }

    async fn set_role(&self, user: UserId, update: RoleUpdate) -> Result<RoleUpdated, StoreError> {
        let RoleUpdate {
            role,
            version,
            replaces,
        } = update;
        self.file
            .in_time(async {
                let mut transaction = self.file.begin().await.map_err(Failure)?;
                let now = self.file.now();
                if let Some((_, newest)) = role_in_force(&mut transaction, user).await?
                    && newest > replaces
                {
                    return Ok(RoleUpdated::Outdated { newest });
                }
                put_in_force(&mut transaction, user, (role, version), now).await?;
                let live = live_of_user(&mut transaction, user, now).await?;
                let mut tally = Tally::default();
                let moved = move_live(&mut transaction, user, role, now, &live, &mut tally).await?;
                tally.count(&mut transaction).await.map_err(Failure)?;
                transaction.commit().await.map_err(Failure)?;
                Ok(RoleUpdated::Moved(moved))
            })
            .await
    }

    async fn list_user(&self, user: UserId) -> Result<Vec<SessionRecord>, StoreError> {
        self.file
            .in_time(async {
                let mut connection = self.file.reader().await.map_err(Failure)?;
                list_of_user(&mut connection, user, self.file.now()).await
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
        self.file
            .in_time(async {
                let mut connection = self.file.reader().await.map_err(Failure)?;
                let now = self.file.now();
                list_page(&mut connection, filter, after, limit, now).await
            })
            .await
    }

    async fn reap(&self, limit: u32) -> Result<Vec<Ended>, StoreError> {
        self.file
            .in_time(async {
                // Usually there is nothing to do, and then nothing waits for the lock.
                let any_expired: bool = sqlx::query_scalar(sql::ANY_EXPIRED)
                    .bind(self.file.now().as_millis())
                    .fetch_one(&mut *self.file.reader().await.map_err(Failure)?)
                    .await
                    .map_err(Failure)?;
                if !any_expired {
                    return Ok(Vec::new());
                }
                let mut transaction = self.file.begin().await.map_err(Failure)?;
                let now = self.file.now();
                let rows = sqlx::query(sql::REAP)
                    .bind(now.as_millis())
                    .bind(limit)
                    .fetch_all(&mut *transaction)
                    .await
                    .map_err(Failure)?;
                let mut tally = Tally::default();
                let ended = tally.end_all(&rows, now, EndReason::Idle)?;
                tally.count(&mut transaction).await.map_err(Failure)?;
                transaction.commit().await.map_err(Failure)?;
                Ok(ended)
            })
            .await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(self.file.now())
    }

    async fn settle_clock(&self, idle: Duration) -> Result<u64, StoreError> {
        self.file
            .in_time(async {
                let mut transaction = self.file.begin().await.map_err(Failure)?;
                let now = self.file.now();
                let settled = sqlx::query(sql::FROM_THE_FUTURE)
                    .bind(now.as_millis())
                    .bind(now.plus(idle).as_millis())
                    .execute(&mut *transaction)
                    .await
                    .map_err(Failure)?;
                transaction.commit().await.map_err(Failure)?;
                Ok(settled.rows_affected())
            })
            .await
    }

    async fn census(&self) -> Result<Census, StoreError> {
        self.file
            .in_time(async {
                let mut connection = self.file.reader().await.map_err(Failure)?;
                let rows = sqlx::query(sql::CENSUS)
                    .bind(self.file.now().as_millis())
                    .fetch_all(&mut *connection)
                    .await
                    .map_err(Failure)?;
                self.file.is_in_its_place().await?;
                census_of(&rows)
            })
            .await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.file
            .in_time(async {
                let mut connection = self.file.reader().await.map_err(Failure)?;
                sqlx::query(sql::PING)
                    .execute(&mut *connection)
                    .await
                    .map_err(Failure)?;
                // A file that can be read but not written accepts no logins.
                self.file.write_probe().await.map_err(Failure)?;
                self.file.is_in_its_place().await
            })
            .await
    }
}
