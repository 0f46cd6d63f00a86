//! The audit trail in SQLite.

use async_trait::async_trait;
use sqlx::{Row, sqlite::SqliteRow};

use super::SqliteFile;
use crate::{
    audit::{AuditEvent, AuditRepository, AuditRow},
    clock::Timestamp,
    error::StoreError,
};

const APPEND: &str = "INSERT INTO audit_events (id, at, outcome, user_id, address) \
    VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (id) DO NOTHING";
const LATEST: &str = "SELECT at, outcome, user_id, address FROM audit_events \
    ORDER BY at DESC, seq DESC LIMIT ?1";
const PRUNE: &str = "DELETE FROM audit_events WHERE seq IN \
    (SELECT seq FROM audit_events WHERE at < ?1 ORDER BY at LIMIT ?2)";

/// The audit trail in the embedded file.
#[derive(Clone, Debug)]
pub(in crate::store) struct SqliteAudit {
    file: SqliteFile,
}

impl SqliteAudit {
    /// The trail of this file.
    pub(in crate::store) const fn new(file: SqliteFile) -> Self {
        Self { file }
    }
}

#[async_trait]
impl AuditRepository for SqliteAudit {
    async fn append(&self, events: &[AuditEvent]) -> Result<(), StoreError> {
        self.file
            .in_time(async {
                let mut transaction = self.file.begin().await?;
                for event in events {
                    sqlx::query(APPEND)
                        .bind(event.id.to_string())
                        .bind(event.at.as_millis())
                        .bind(event.outcome)
                        .bind(event.user_id.map(|id| id.to_string()))
                        .bind(event.address.map(|address| address.to_string()))
                        .execute(&mut *transaction)
                        .await?;
                }
                transaction.commit().await?;
                Ok(())
            })
            .await
    }

    async fn latest(&self, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        self.file
            .in_time(async {
                let mut connection = self.file.reader().await?;
                let latest = sqlx::query(LATEST).bind(limit);
                let rows = latest.fetch_all(&mut *connection).await?;
                rows.iter().map(audit_row_of).collect()
            })
            .await
    }

    async fn prune(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.file
            .in_time(async {
                let mut connection = self.file.writer().await?;
                let pruned = sqlx::query(PRUNE)
                    .bind(before.as_millis())
                    .bind(limit)
                    .execute(&mut *connection)
                    .await?;
                Ok(pruned.rows_affected())
            })
            .await
    }
}

fn audit_row_of(row: &SqliteRow) -> Result<AuditRow, StoreError> {
    let user_id: Option<String> = row.try_get("user_id")?;
    let address: Option<String> = row.try_get("address")?;
    Ok(AuditRow {
        at: Timestamp::from_millis(row.try_get("at")?),
        outcome: row.try_get("outcome")?,
        user_id: user_id
            .map(|id| id.parse())
            .transpose()
            .map_err(|_| StoreError::Corrupt("audit.user_id"))?,
        address: address
            .map(|address| address.parse())
            .transpose()
            .map_err(|_| StoreError::Corrupt("audit.address"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::{super::plans::assert_indexed, *};

    #[tokio::test]
    async fn no_statement_reads_the_whole_table() {
        // The newest events are read from the end of an index: a scan that stops at its limit.
        assert_indexed(&[PRUNE]).await;
    }
}
