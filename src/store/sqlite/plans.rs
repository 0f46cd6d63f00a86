//! Checks the query plans of statements in SQLite.

use std::{sync::Arc, time::Duration};

use sqlx::{AssertSqlSafe, Row};

use super::{SqliteFile, SqliteSettings};
use crate::clock::ManualClock;

/// What may be scanned completely: nothing at all, four rows (one per role), the indexes that contain only the rows of
/// interest, and the arguments of the statement.
const WALKED: [&str; 6] = [
    "CONSTANT ROW",
    "session_tallies",
    "INDEX accounts_unsettled",
    "INDEX accounts_in_charge",
    "INDEX audit_events_of_actions",
    "json_each VIRTUAL TABLE INDEX 1:",
];

/// Fails if a statement scans anything else completely, or sorts more than one user's rows.
pub(super) async fn assert_indexed(statements: &[&'static str]) {
    let directory = tempfile::tempdir().unwrap();
    let settings = SqliteSettings {
        path: directory.path().join("plans.db"),
        timeout: Duration::from_secs(10),
    };
    let file = SqliteFile::open(&settings, Arc::new(ManualClock::default()))
        .await
        .unwrap();
    for statement in statements {
        let rows = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}")))
            .fetch_all(&mut *file.writer().await.unwrap())
            .await
            .unwrap();
        assert!(!rows.is_empty(), "no plan for {statement}");
        for row in rows {
            let step: String = row.get("detail");
            let walks = step.contains("SCAN") && !WALKED.iter().any(|it| step.ends_with(it));
            let sorts = step.contains("TEMP B-TREE") && !statement.contains("user_id = ?");
            assert!(!walks && !sorts, "{step}\n  in {statement}");
        }
    }
}
