//! Budgets of guesses in SQLite. The arithmetic is `guard`'s.

use async_trait::async_trait;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::SqliteFile;
use crate::{
    clock::Timestamp,
    error::StoreError,
    guard::{
        Budget, Checked, Decision, Entity, GuardPolicy, LimitRepository, LimitState, Verdict,
        charge, refund,
    },
};

const FIND: &str = "SELECT spent, as_of, locked_until, locks FROM limits WHERE entity = ?1";
const SAVE: &str = "INSERT INTO limits (entity, spent, as_of, locked_until, locks, expires_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (entity) DO UPDATE \
    SET spent = excluded.spent, as_of = excluded.as_of, locked_until = excluded.locked_until, \
    locks = excluded.locks, expires_at = excluded.expires_at";
const FORGET: &str = "DELETE FROM limits WHERE entity = ?1";
const PRUNE: &str = "DELETE FROM limits WHERE entity IN \
    (SELECT entity FROM limits WHERE expires_at <= ?1 LIMIT ?2)";

/// Budgets of guesses in the embedded file.
#[derive(Clone, Debug)]
pub(in crate::store) struct SqliteLimits {
    file: SqliteFile,
}

impl SqliteLimits {
    /// The budgets of this file.
    pub(in crate::store) const fn new(file: SqliteFile) -> Self {
        Self { file }
    }
}

#[async_trait]
impl LimitRepository for SqliteLimits {
    async fn charge(
        &self,
        address: Entity,
        account: Entity,
        policy: &GuardPolicy,
    ) -> Result<Decision, StoreError> {
        self.file
            .in_time(async {
                let mut transaction = self.file.begin().await?;
                // The time is taken with the lock in hand: a wait for it must not shorten anybody's lock.
                let now = self.file.now();
                let address = charge_one(&mut transaction, address, now, &policy.address).await?;
                let decision = if let Verdict::Wait(retry_after) = address {
                    Decision::AddressLimited { retry_after }
                } else {
                    let account =
                        charge_one(&mut transaction, account, now, &policy.account).await?;
                    match account {
                        Verdict::Go => Decision::Go,
                        Verdict::Wait(retry_after) => Decision::AccountLocked { retry_after },
                    }
                };
                transaction.commit().await?;
                Ok(decision)
            })
            .await
    }

    async fn give_back(
        &self,
        address: Entity,
        account: Entity,
        policy: &GuardPolicy,
        checked: Checked,
    ) -> Result<(), StoreError> {
        let whole = checked == Checked::Right;
        self.file
            .in_time(async {
                let mut transaction = self.file.begin().await?;
                let now = self.file.now();
                give_back_one(&mut transaction, address, now, &policy.address, false).await?;
                give_back_one(&mut transaction, account, now, &policy.account, whole).await?;
                transaction.commit().await?;
                Ok(())
            })
            .await
    }

    async fn prune(&self, limit: u32) -> Result<u64, StoreError> {
        self.file
            .in_time(async {
                let mut connection = self.file.writer().await?;
                let pruned = sqlx::query(PRUNE)
                    .bind(self.file.now().as_millis())
                    .bind(limit)
                    .execute(&mut *connection)
                    .await?;
                Ok(pruned.rows_affected())
            })
            .await
    }
}

async fn charge_one(
    connection: &mut SqliteConnection,
    entity: Entity,
    now: Timestamp,
    budget: &Budget,
) -> Result<Verdict, StoreError> {
    let before = find(connection, entity).await?;
    let (after, verdict) = charge(before, now, budget);
    if verdict == Verdict::Go {
        save(connection, entity, after, budget).await?;
    }
    Ok(verdict)
}

async fn give_back_one(
    connection: &mut SqliteConnection,
    entity: Entity,
    now: Timestamp,
    budget: &Budget,
    whole: bool,
) -> Result<(), StoreError> {
    if whole {
        let forget = sqlx::query(FORGET).bind(entity.to_string());
        forget.execute(connection).await?;
    } else if let Some(before) = find(connection, entity).await? {
        let after = refund(before, now, budget, false);
        save(connection, entity, after, budget).await?;
    }
    Ok(())
}

async fn find(
    connection: &mut SqliteConnection,
    entity: Entity,
) -> Result<Option<LimitState>, StoreError> {
    let find = sqlx::query(FIND).bind(entity.to_string());
    let row = find.fetch_optional(connection).await?;
    row.as_ref().map(state_of).transpose()
}

async fn save(
    connection: &mut SqliteConnection,
    entity: Entity,
    state: LimitState,
    budget: &Budget,
) -> Result<(), StoreError> {
    sqlx::query(SAVE)
        .bind(entity.to_string())
        .bind(state.spent)
        .bind(state.as_of.as_millis())
        .bind(state.locked_until.as_millis())
        .bind(state.locks)
        .bind(state.expires_at(budget).as_millis())
        .execute(connection)
        .await?;
    Ok(())
}

fn state_of(row: &SqliteRow) -> Result<LimitState, StoreError> {
    Ok(LimitState {
        spent: row.try_get("spent")?,
        as_of: Timestamp::from_millis(row.try_get("as_of")?),
        locked_until: Timestamp::from_millis(row.try_get("locked_until")?),
        locks: row.try_get("locks")?,
    })
}

#[cfg(test)]
mod tests {
    use super::{super::plans::assert_indexed, *};

    #[tokio::test]
    async fn no_statement_reads_the_whole_table() {
        assert_indexed(&[FIND, FORGET, PRUNE]).await;
    }
}
