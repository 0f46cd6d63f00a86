//! A disk that is full.

use super::*;
use crate::{
    accounts::AccountRepository,
    audit::{AuditEvent, AuditFilter, AuditRepository, Kind, SUCCESS},
    clock::ManualClock,
    sessions::SessionRepository,
};

fn events(n: usize) -> Vec<AuditEvent> {
    let event = || AuditEvent::new(Kind::Login, Timestamp::default(), SUCCESS);
    std::iter::repeat_with(event).take(n).collect()
}

async fn fill(file: &SqliteFile) {
    sqlx::query("PRAGMA max_page_count = 1")
        .execute(&mut *file.writer().await.unwrap())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_disk_that_was_full_is_no_lasting_harm() {
    let directory = tempfile::tempdir().unwrap();
    let settings = SqliteSettings {
        path: directory.path().join("full.db"),
        timeout: Duration::from_secs(10),
    };
    let file = SqliteFile::open(&settings, Arc::new(ManualClock::default()))
        .await
        .unwrap();
    let audit = SqliteAudit::new(file.clone());
    audit.append(&events(1)).await.unwrap();

    // Equivalent to a full disk: SQLite does not grow the file and rolls the transaction back itself. The
    // connection is then reopened without the limit.
    fill(&file).await;
    let refused = audit.append(&events(5_000)).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))));
    let all = AuditFilter::default();
    assert_eq!(audit.search(&all, 10).await.unwrap().len(), 1);
    // The readiness check reports it too, with the reason.
    fill(&file).await;
    let accounts = SqliteAccounts::new(file.clone()).ping().await;
    fill(&file).await;
    let sessions = SqliteSessions::new(file.clone()).ping().await;
    for refused in [accounts, sessions] {
        let why = refused.unwrap_err().in_full();
        assert!(why.contains("full"), "{why}");
    }

    sqlx::query("PRAGMA max_page_count = 1000000")
        .execute(&mut *file.writer().await.unwrap())
        .await
        .unwrap();
    audit.append(&events(5_000)).await.unwrap();
    assert_eq!(audit.search(&all, 9_999).await.unwrap().len(), 5_001);
    SqliteAccounts::new(file.clone()).ping().await.unwrap();
    SqliteSessions::new(file.clone()).ping().await.unwrap();
}
