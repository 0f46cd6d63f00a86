//! Login throttling in SQLite. The arithmetic is in `guard`.
//!
//! An attempt that holds places has its own row: the window in which it took them, and one hold; no hold if it was
//! settled before it took them.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{SqliteFile, error::Failure};
use crate::{
    clock::Timestamp,
    error::StoreError,
    guard::{
        AttemptId, Budget, Charge, Checked, Decision, Entity, Hold, LimitState,
        LoginThrottleRepository, Reserved, reserve, settle,
    },
};

const FIND: &str = "SELECT spent, as_of, locked_until, locks, hold_window, held, held_before \
    FROM limits WHERE entity = ?1";
const SAVE: &str = "INSERT INTO limits \
    (entity, spent, as_of, locked_until, locks, hold_window, held, held_before, expires_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (entity) DO UPDATE \
    SET spent = excluded.spent, as_of = excluded.as_of, locked_until = excluded.locked_until, \
    locks = excluded.locks, hold_window = excluded.hold_window, held = excluded.held, \
    held_before = excluded.held_before, expires_at = excluded.expires_at";
const CLEAR: &str = "UPDATE limits SET spent = 0, locked_until = 0, locks = 0 WHERE entity = ?1";
const FORGET: &str = "DELETE FROM limits WHERE entity = ?1";
const CUT: &str = "UPDATE limits SET expires_at = ?1 WHERE entity IN \
    (SELECT entity FROM limits WHERE expires_at > ?1 LIMIT ?2)";
const PRUNE: &str = "DELETE FROM limits WHERE entity IN \
    (SELECT entity FROM limits WHERE expires_at <= ?1 LIMIT ?2)";

/// Login throttling in the embedded file.
#[derive(Clone, Debug)]
pub(in crate::store) struct SqliteLimits {
    file: SqliteFile,
}

impl SqliteLimits {
    /// Creates the login throttling of this file.
    pub(in crate::store) const fn new(file: SqliteFile) -> Self {
        Self { file }
    }
}

#[async_trait]
impl LoginThrottleRepository for SqliteLimits {
    async fn reserve(
        &self,
        attempt: AttemptId,
        charges: &[Charge],
    ) -> Result<Decision, StoreError> {
        self.file
            .in_time(async {
                let mut transaction = self.file.begin().await.map_err(Failure)?;
                // The time is read after the lock was acquired: waiting for it must not shorten a lock of an entity.
                let now = self.file.now();
                let attempt = attempt.to_string();
                if let (Some(_), Some(first)) =
                    (find(&mut transaction, &attempt).await?, charges.first())
                {
                    return Ok(Decision::Busy(first.entity));
                }
                let mut before = Vec::with_capacity(charges.len());
                for charge in charges {
                    before.push(find(&mut transaction, &charge.entity.to_string()).await?);
                }
                let mut after: Vec<_> = before.iter().map(|it| it.unwrap_or_default()).collect();
                let budgets: Vec<_> = charges.iter().map(|it| it.budget).collect();
                let (decision, changed) = match reserve(&mut after, &budgets, now) {
                    Reserved::Go(hold) => {
                        keep(&mut transaction, &attempt, Some(hold), now).await?;
                        (Decision::Go, charges.len())
                    }
                    Reserved::Busy(at) => (Decision::Busy(charges[at].entity), 0),
                    Reserved::Locked(at, retry_after) => {
                        let entity = charges[at].entity;
                        let locked = Decision::Locked {
                            entity,
                            retry_after,
                        };
                        (locked, at + 1)
                    }
                };
                let states = charges.iter().zip(before.iter().zip(after));
                for (charge, (before, after)) in states.take(changed) {
                    // Nothing has to be written for an entity that was already locked.
                    if *before != Some(after) {
                        let entity = charge.entity.to_string();
                        save(&mut transaction, &entity, after, &charge.budget).await?;
                    }
                }
                transaction.commit().await.map_err(Failure)?;
                Ok(decision)
            })
            .await
    }

    async fn settle(
        &self,
        attempt: AttemptId,
        charges: &[Charge],
        checked: Checked,
    ) -> Result<(), StoreError> {
        self.file
            .in_time(async {
                let mut transaction = self.file.begin().await.map_err(Failure)?;
                let now = self.file.now();
                let attempt = attempt.to_string();
                let holds = find(&mut transaction, &attempt).await?;
                let Some(taken) = holds.filter(|it| it.held > 0) else {
                    // The attempt may still be on its way.
                    keep(&mut transaction, &attempt, None, now).await?;
                    transaction.commit().await.map_err(Failure)?;
                    return Ok(());
                };
                forget(&mut transaction, &attempt).await?;
                let hold = Hold {
                    window: taken.window,
                };
                for Charge { entity, budget } in charges {
                    let key = entity.to_string();
                    let Some(before) = find(&mut transaction, &key).await? else {
                        continue;
                    };
                    let after = settle(before, now, budget, hold, checked, entity.is_person());
                    save(&mut transaction, &key, after, budget).await?;
                }
                transaction.commit().await.map_err(Failure)?;
                Ok(())
            })
            .await
    }

    async fn clear(&self, entity: Entity) -> Result<bool, StoreError> {
        self.file
            .in_time(async {
                let mut transaction = self.file.begin().await.map_err(Failure)?;
                let Some(before) = find(&mut transaction, &entity.to_string()).await? else {
                    return Ok(false);
                };
                let after = before.cleared(before.as_of);
                let statement = if after.is_empty() { FORGET } else { CLEAR };
                let statement = sqlx::query(statement).bind(entity.to_string());
                statement
                    .execute(&mut *transaction)
                    .await
                    .map_err(Failure)?;
                transaction.commit().await.map_err(Failure)?;
                Ok(before != after)
            })
            .await
    }

    async fn prune(&self, limit: u32, horizon: Duration) -> Result<u64, StoreError> {
        self.file
            .in_time(async {
                let mut connection = self.file.writer().await.map_err(Failure)?;
                let now = self.file.now();
                sqlx::query(CUT)
                    .bind(now.plus(horizon).as_millis())
                    .bind(limit)
                    .execute(&mut *connection)
                    .await
                    .map_err(Failure)?;
                let pruned = sqlx::query(PRUNE)
                    .bind(now.as_millis())
                    .bind(limit)
                    .execute(&mut *connection)
                    .await
                    .map_err(Failure)?;
                Ok(pruned.rows_affected())
            })
            .await
    }
}

async fn find(
    connection: &mut SqliteConnection,
    key: &str,
) -> Result<Option<LimitState>, StoreError> {
    let find = sqlx::query(FIND).bind(key);
    let row = find.fetch_optional(connection).await.map_err(Failure)?;
    row.as_ref().map(state_of).transpose()
}

/// Stores that an attempt holds places, or that it was settled before it took any.
async fn keep(
    connection: &mut SqliteConnection,
    attempt: &str,
    hold: Option<Hold>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let state = LimitState {
        window: hold.map_or(0, |it| it.window),
        held: hold.map_or(0, |_| 1),
        as_of: now,
        ..LimitState::default()
    };
    write(connection, attempt, state, now.plus(AttemptId::KEPT)).await
}

async fn forget(connection: &mut SqliteConnection, key: &str) -> Result<(), StoreError> {
    let forget = sqlx::query(FORGET).bind(key);
    forget.execute(connection).await.map_err(Failure)?;
    Ok(())
}

/// Stores the state of a budget; one that is equivalent to none is removed.
async fn save(
    connection: &mut SqliteConnection,
    entity: &str,
    state: LimitState,
    budget: &Budget,
) -> Result<(), StoreError> {
    if state.is_empty() {
        return forget(connection, entity).await;
    }
    write(connection, entity, state, state.expires_at(budget)).await
}

async fn write(
    connection: &mut SqliteConnection,
    key: &str,
    state: LimitState,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(SAVE)
        .bind(key)
        .bind(state.spent)
        .bind(state.as_of.as_millis())
        .bind(state.locked_until.as_millis())
        .bind(state.locks)
        .bind(state.window)
        .bind(state.held)
        .bind(state.held_before)
        .bind(expires_at.as_millis())
        .execute(connection)
        .await
        .map_err(Failure)?;
    Ok(())
}

fn state_of(row: &SqliteRow) -> Result<LimitState, StoreError> {
    Ok(LimitState {
        spent: row.try_get("spent").map_err(Failure)?,
        as_of: Timestamp::from_millis(row.try_get("as_of").map_err(Failure)?),
        locked_until: Timestamp::from_millis(row.try_get("locked_until").map_err(Failure)?),
        locks: row.try_get("locks").map_err(Failure)?,
        window: row.try_get("hold_window").map_err(Failure)?,
        held: row.try_get("held").map_err(Failure)?,
        held_before: row.try_get("held_before").map_err(Failure)?,
    })
}

#[cfg(test)]
mod tests {
    use super::{super::plans::assert_indexed, *};

    #[tokio::test]
    async fn no_statement_reads_the_whole_table() {
        assert_indexed(&[FIND, CLEAR, FORGET, CUT, PRUNE]).await;
    }
}
