//! Rate limits of services in SQLite. The arithmetic is in `services::quota`.

use async_trait::async_trait;
use sqlx::{Row, sqlite::SqliteRow};
use uuid::Uuid;

use super::{SqliteFile, error::Failure};
use crate::{
    error::StoreError,
    services::{LimitPolicy, QuotaDecision, QuotaState, RateLimitRepository, charge},
};

const FIND: &str = "SELECT arrival_us, day, used FROM quotas WHERE registration = ?1";
const SAVE: &str = "INSERT INTO quotas (registration, arrival_us, day, used) VALUES (?1, ?2, ?3, ?4) \
    ON CONFLICT (registration) DO UPDATE \
    SET arrival_us = excluded.arrival_us, day = excluded.day, used = excluded.used";
const FORGET: &str = "DELETE FROM quotas WHERE registration = ?1";

/// Rate limits of services in the embedded file.
#[derive(Clone, Debug)]
pub(in crate::store) struct SqliteQuotas {
    file: SqliteFile,
}

impl SqliteQuotas {
    /// Creates the rate limits of this file.
    pub(in crate::store) const fn new(file: SqliteFile) -> Self {
        Self { file }
    }
}

#[async_trait]
impl RateLimitRepository for SqliteQuotas {
    async fn charge(
        &self,
        registration: Uuid,
        policy: &LimitPolicy,
    ) -> Result<QuotaDecision, StoreError> {
        self.file
            .in_time(async {
                let mut transaction = self.file.begin().await.map_err(Failure)?;
                // The time is read after the lock was acquired: a request that waited for it must not arrive in the
                // past.
                let now = self.file.now();
                let find = sqlx::query(FIND).bind(registration.to_string());
                let row = find
                    .fetch_optional(&mut *transaction)
                    .await
                    .map_err(Failure)?;
                let before = row.as_ref().map(state_of).transpose()?;
                let (after, decision) = charge(before, now, policy);
                if before != Some(after) {
                    sqlx::query(SAVE)
                        .bind(registration.to_string())
                        .bind(after.arrival_us)
                        .bind(after.day)
                        .bind(i64::try_from(after.used).unwrap_or(i64::MAX))
                        .execute(&mut *transaction)
                        .await
                        .map_err(Failure)?;
                }
                transaction.commit().await.map_err(Failure)?;
                Ok(decision)
            })
            .await
    }

    async fn forget(&self, registration: Uuid) -> Result<(), StoreError> {
        let forget = sqlx::query(FORGET).bind(registration.to_string());
        self.file
            .in_time(async {
                forget
                    .execute(&mut *self.file.writer().await.map_err(Failure)?)
                    .await
                    .map_err(Failure)?;
                Ok(())
            })
            .await
    }
}

fn state_of(row: &SqliteRow) -> Result<QuotaState, StoreError> {
    Ok(QuotaState {
        arrival_us: row.try_get("arrival_us").map_err(Failure)?,
        day: row.try_get("day").map_err(Failure)?,
        used: row.try_get("used").map_err(Failure)?,
    })
}

#[cfg(test)]
mod tests {
    use super::{super::plans::assert_indexed, *};

    #[tokio::test]
    async fn no_statement_reads_the_whole_table() {
        assert_indexed(&[FIND, FORGET]).await;
    }
}
