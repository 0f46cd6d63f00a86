//! The audit trail in SQLite.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use sqlx::{Sqlite, SqliteConnection, Transaction};
use uuid::Uuid;

use super::{
    SqliteFile,
    audit_counts::{count, counted, known},
    audit_search::{row_of, search},
    error::Failure,
};
use crate::{
    audit::{self, Action, AuditEvent, AuditFilter, AuditRepository, AuditRow, Kind},
    clock::Timestamp,
    error::StoreError,
};

/// Adds a single row. If the event was announced, its row takes the outcome, once.
const ADD: &str = "INSERT INTO audit_events \
    (id, at, kind, outcome, actor, user_id, target, detail, address) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) \
    ON CONFLICT (id) DO UPDATE SET outcome = excluded.outcome, last_at = excluded.at, detail = excluded.detail \
    WHERE audit_events.outcome = 'pending'";
/// Changes nothing, and reports that, if the batch is the last one that this writer added.
const NEW_BATCH: &str = "INSERT INTO audit_writers (writer, batch, at) VALUES (?1, ?2, ?3) \
    ON CONFLICT (writer) DO UPDATE SET batch = excluded.batch, at = excluded.at \
    WHERE audit_writers.batch <> excluded.batch";
/// Moves rows with a future time to the present. They record their original time, and count no further attempts.
const CUT: &str = "UPDATE audit_events SET at = ?1, last_at = NULL, minute = NULL, entity = NULL, \
    detail = coalesce(detail || ', ', '') || 'time was ' || \
        coalesce(strftime('%Y-%m-%dT%H:%M:%SZ', at / 1000, 'unixepoch'), 'none') \
    WHERE seq IN (SELECT seq FROM audit_events WHERE at > ?2 ORDER BY at LIMIT ?3)";
const PRUNE: &str = "DELETE FROM audit_events WHERE seq IN \
    (SELECT seq FROM audit_events WHERE at < ?1 ORDER BY at LIMIT ?2)";
/// There is one row for each process that ever wrote, so there are few.
const CUT_WRITERS: &str = "UPDATE audit_writers SET at = ?1 WHERE at > ?1";
const PRUNE_WRITERS: &str = "DELETE FROM audit_writers WHERE at < ?1 AND writer <> ?2";

/// How far in the future the time of a row may be: the clock of a machine that is right is set back by less.
const AHEAD: Duration = Duration::from_mins(1);

/// The audit trail in the embedded file.
#[derive(Clone, Debug)]
pub(in crate::store) struct SqliteAudit {
    file: SqliteFile,
    /// Identifies this writer in `audit_writers`.
    writer: Uuid,
}

impl SqliteAudit {
    /// Creates the audit trail of this file.
    pub(in crate::store) fn new(file: SqliteFile) -> Self {
        Self {
            file,
            writer: Uuid::new_v4(),
        }
    }
}

#[async_trait]
impl AuditRepository for SqliteAudit {
    async fn append(&self, events: &[AuditEvent]) -> Result<(), StoreError> {
        let Some(first) = events.first() else {
            return Ok(());
        };
        self.file
            .in_time(async {
                let mut transaction = self.file.begin().await.map_err(Failure)?;
                let new_batch = sqlx::query(NEW_BATCH)
                    .bind(self.writer.to_string())
                    .bind(first.id.to_string())
                    .bind(self.file.now().as_millis());
                if new_batch
                    .execute(&mut *transaction)
                    .await
                    .map_err(Failure)?
                    .rows_affected()
                    == 0
                {
                    return Ok(());
                }
                // A rejected attempt already has a row if something was committed and the response was lost: either the
                // row of its change, which is then correct, or its announcement, which then takes the outcome.
                let known = known(&mut transaction, events).await.map_err(Failure)?;
                let (refused, own): (Vec<_>, Vec<_>) = events
                    .iter()
                    .partition(|it| it.is_aggregated() && !known.contains(&it.id.to_string()));
                for event in own {
                    add(&mut transaction, event).await.map_err(Failure)?;
                }
                let mut minutes = HashMap::new();
                for (key, refused) in counted(&refused) {
                    count(&mut transaction, &mut minutes, key, &refused)
                        .await
                        .map_err(Failure)?;
                }
                transaction.commit().await.map_err(Failure)?;
                Ok(())
            })
            .await
    }

    async fn announce(&self, event: &AuditEvent) -> Result<(), StoreError> {
        self.file
            .in_time(async {
                let mut transaction = self.file.begin().await.map_err(Failure)?;
                add(&mut transaction, event).await.map_err(Failure)?;
                transaction.commit().await.map_err(Failure)?;
                Ok(())
            })
            .await
    }

    async fn search(&self, filter: &AuditFilter, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        self.file
            .in_time(async {
                let mut connection = self.file.reader().await.map_err(Failure)?;
                let mut search = search(filter, limit);
                let rows = search
                    .build()
                    .fetch_all(&mut *connection)
                    .await
                    .map_err(Failure)?;
                rows.iter().map(row_of).collect()
            })
            .await
    }

    async fn prune(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.file
            .in_time(async {
                let mut connection = self.file.writer().await.map_err(Failure)?;
                let now = self.file.now();
                let cut = sqlx::query(CUT)
                    .bind(now.as_millis())
                    .bind(now.plus(AHEAD).as_millis())
                    .bind(limit)
                    .execute(&mut *connection)
                    .await
                    .map_err(Failure)?;
                let pruned = sqlx::query(PRUNE)
                    .bind(before.as_millis())
                    .bind(limit)
                    .execute(&mut *connection)
                    .await
                    .map_err(Failure)?;
                sqlx::query(CUT_WRITERS)
                    .bind(now.as_millis())
                    .execute(&mut *connection)
                    .await
                    .map_err(Failure)?;
                sqlx::query(PRUNE_WRITERS)
                    .bind(before.as_millis())
                    .bind(self.writer.to_string())
                    .execute(&mut *connection)
                    .await
                    .map_err(Failure)?;
                Ok(cut.rows_affected().saturating_add(pruned.rows_affected()))
            })
            .await
    }
}

/// Commits the transaction of a change. If an action of this kind is in progress, its event is written in the same
/// transaction; `about` describes what the change concerns.
pub(super) async fn commit(
    mut transaction: Transaction<'static, Sqlite>,
    kind: Kind,
    now: Timestamp,
    about: impl FnOnce(&Action) + Send,
) -> Result<(), sqlx::Error> {
    let Some(action) = audit::current(kind) else {
        return transaction.commit().await;
    };
    about(&action);
    add(&mut transaction, &action.succeeded(now)).await?;
    transaction.commit().await?;
    action.written();
    Ok(())
}

async fn add(connection: &mut SqliteConnection, event: &AuditEvent) -> Result<(), sqlx::Error> {
    sqlx::query(ADD)
        .bind(event.id.to_string())
        .bind(event.at.as_millis())
        .bind(event.kind.as_str())
        .bind(event.outcome)
        .bind(event.actor.map(|actor| actor.to_string()))
        .bind(event.user_id.map(|id| id.to_string()))
        .bind(event.target.clone())
        .bind(event.detail.clone())
        .bind(event.address.map(|address| address.to_string()))
        .execute(connection)
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::{super::plans::assert_indexed, *};

    #[tokio::test]
    async fn no_statement_reads_the_whole_table() {
        assert_eq!(audit::PENDING, "pending", "as ADD has it");
        assert_indexed(&[CUT, PRUNE]).await;
    }
}
