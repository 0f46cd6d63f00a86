//! Searches of the audit trail in SQLite.

use sqlx::{QueryBuilder, Row, Sqlite, sqlite::SqliteRow};

use super::{audit_counts::MINUTE_MS, error::Failure};
use crate::{
    audit::{self, Actor, AuditFilter, AuditRow, Kind},
    clock::Timestamp,
    error::StoreError,
};

/// Returns the statement that finds at most `limit` rows, newest first.
pub(super) fn search(filter: &AuditFilter, limit: u32) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(
        "SELECT seq, at, coalesce(last_at, at) AS last_at, count, kind, outcome, actor, user_id, target, detail, address \
         FROM audit_events WHERE true",
    );
    if let Some(id) = filter.user_id {
        query.push(" AND user_id = ").push_bind(id.to_string());
    }
    if let Some(address) = filter.address {
        query.push(" AND address = ").push_bind(address.to_string());
    }
    match filter.kind {
        // In the format of the index.
        Some(kind) if kind != Kind::Login => {
            query
                .push(" AND kind <> 'login' AND kind = ")
                .push_bind(kind.as_str());
        }
        Some(kind) => {
            query.push(" AND kind = ").push_bind(kind.as_str());
        }
        None => {}
    }
    match filter.actor {
        Some(Actor::CommandLine { uid: None }) => {
            query.push(" AND kind <> 'login' AND (actor = 'cli' OR actor LIKE 'cli:%')");
        }
        Some(actor) => {
            query
                .push(" AND kind <> 'login' AND actor = ")
                .push_bind(actor.to_string());
        }
        None => {}
    }
    if let Some(outcome) = &filter.outcome {
        if outcome != audit::SUCCESS {
            query.push(" AND outcome <> 'success'");
        }
        query.push(" AND outcome = ").push_bind(outcome.clone());
    }
    if let Some(since) = filter.since {
        // A row that counts attempts also belongs to the time of its last attempt.
        query
            .push(" AND coalesce(last_at, at) >= ")
            .push_bind(since.as_millis());
        query
            .push(" AND at >= ")
            .push_bind(since.as_millis().saturating_sub(MINUTE_MS));
    }
    if let Some(until) = filter.until {
        query.push(" AND at < ").push_bind(until.as_millis());
    }
    if let Some(after) = filter.after {
        query
            .push(" AND (at, seq) < (")
            .push_bind(after.at.as_millis());
        query.push(", ").push_bind(after.seq).push(")");
    }
    query
        .push(" ORDER BY at DESC, seq DESC LIMIT ")
        .push_bind(limit);
    query
}

/// Reads a row.
pub(super) fn row_of(row: &SqliteRow) -> Result<AuditRow, StoreError> {
    let user_id: Option<String> = row.try_get("user_id").map_err(Failure)?;
    let address: Option<String> = row.try_get("address").map_err(Failure)?;
    let count: i64 = row.try_get("count").map_err(Failure)?;
    Ok(AuditRow {
        seq: row.try_get("seq").map_err(Failure)?,
        at: Timestamp::from_millis(row.try_get("at").map_err(Failure)?),
        last_at: Timestamp::from_millis(row.try_get("last_at").map_err(Failure)?),
        count: u64::try_from(count).map_err(|_| StoreError::Corrupt("audit.count"))?,
        kind: row.try_get("kind").map_err(Failure)?,
        outcome: row.try_get("outcome").map_err(Failure)?,
        actor: row.try_get("actor").map_err(Failure)?,
        user_id: user_id
            .map(|id| id.parse())
            .transpose()
            .map_err(|_| StoreError::Corrupt("audit.user_id"))?,
        target: row.try_get("target").map_err(Failure)?,
        detail: row.try_get("detail").map_err(Failure)?,
        address: address
            .map(|address| address.parse())
            .transpose()
            .map_err(|_| StoreError::Corrupt("audit.address"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::{super::plans::assert_indexed, *};
    use crate::accounts::UserId;

    #[tokio::test]
    async fn a_search_uses_an_index_for_each_condition_that_an_operator_gives() {
        let filters = [
            AuditFilter {
                user_id: Some(UserId::generate()),
                ..AuditFilter::default()
            },
            AuditFilter {
                address: Some([192, 0, 2, 1].into()),
                ..AuditFilter::default()
            },
            AuditFilter {
                kind: Some(Kind::UserCreate),
                ..AuditFilter::default()
            },
            AuditFilter {
                actor: Some(Actor::System),
                ..AuditFilter::default()
            },
            AuditFilter {
                outcome: Some("account_locked".into()),
                ..AuditFilter::default()
            },
            AuditFilter {
                since: Some(Timestamp::default()),
                until: Some(Timestamp::default()),
                ..AuditFilter::default()
            },
        ];
        for filter in filters {
            let sql: &'static str = search(&filter, 10).into_string().leak();
            assert_indexed(&[sql]).await;
        }
    }
}
