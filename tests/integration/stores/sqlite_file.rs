//! The embedded store's file: how it is created, opened, shared and rejected.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration};

use skriptoteket::{
    accounts::{Role, UserId},
    audit::{AuditEvent, AuditFilter, Kind},
    clock::{Clock, ManualClock},
    config::{self, Config, Database, Environment},
    error::StoreError,
    store::{self, OpenError, SqliteSettings, Stores, open_sqlite},
};
use skriptoteket_testing::stores::{IDLE, new_session, raw};
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::task::JoinSet;

use crate::stores::world::{Backend, World, seconds};

async fn open(path: &Path, timeout: Duration) -> Result<Stores, OpenError> {
    let settings = SqliteSettings {
        path: path.to_owned(),
        timeout,
    };
    open_sqlite(&settings, Arc::new(ManualClock::default()), None).await
}

/// Returns a configuration of which the store reads the path of the file and the timeout.
fn config_of(path: &Path) -> Config {
    let mut config = config::load(None, &Environment::default()).unwrap();
    config.database = Database::Sqlite {
        path: path.to_owned(),
    };
    config.store_timeout = seconds(30);
    config
}

#[tokio::test]
async fn the_configuration_names_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data").join("named.db");
    let clock = Arc::new(ManualClock::default());
    let stores = store::open(&config_of(&path).store(), clock, None)
        .await
        .unwrap();
    assert!(stores.accounts.is_empty().await.unwrap());
    assert!(path.exists());
}

#[tokio::test]
async fn a_file_that_was_removed_or_replaced_is_an_outage() {
    let directory = tempfile::tempdir().unwrap();
    let (path, aside) = (
        directory.path().join("store.db"),
        directory.path().join("aside.db"),
    );
    let stores = open(&path, seconds(30)).await.unwrap();
    stores.sessions.ping().await.unwrap();
    let is_out = async || {
        for answer in [stores.accounts.ping().await, stores.sessions.ping().await] {
            assert!(matches!(answer, Err(StoreError::Unavailable(_))));
        }
        // Counts in this file would be lost.
        let census = stores.sessions.census().await;
        assert!(matches!(census, Err(StoreError::Unavailable(_))));
    };
    fs::rename(&path, &aside).unwrap();
    is_out().await;
    fs::rename(&aside, &path).unwrap();
    stores.accounts.ping().await.unwrap();
    stores.sessions.ping().await.unwrap();
    fs::rename(&path, &aside).unwrap();
    fs::copy(&aside, &path).unwrap();
    is_out().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_an_outage() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let stores = open(&path, seconds(2)).await.unwrap();
    let mut other = raw(&path).await;
    let held = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let answer = stores.sessions.ping().await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))));
    held.rollback().await.unwrap();
    stores.sessions.ping().await.unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn the_directory_and_the_files_are_for_their_owner_only() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("var").join("data");
    let stores = open(&data.join("store.db"), seconds(30)).await.unwrap();
    let new = new_session(UserId::generate(), Role::User);
    stores.sessions.create(new, 1).await.unwrap();
    assert_eq!(mode(&data), 0o700);
    for file in ["store.db", "store.db-wal", "store.db-shm"] {
        assert_eq!(mode(&data.join(file)), 0o600, "{file}");
    }
}

#[tokio::test]
async fn closing_writes_the_log_back_into_the_file() {
    let world = World::new(Backend::Sqlite).await;
    world.add("ada", Role::User).await;
    let log = world.file().with_extension("db-wal");
    assert!(fs::metadata(&log).unwrap().len() > 0);
    world.stores.close().await;
    assert!(!log.exists());
}

#[tokio::test]
async fn closing_cuts_the_log_though_another_process_has_the_file_open() {
    let world = World::new(Backend::Sqlite).await;
    let other = world.another().await;
    world.add("ada", Role::User).await;
    world.stores.close().await;
    let log = world.file().with_extension("db-wal");
    assert_eq!(fs::metadata(&log).unwrap().len(), 0);
    assert!(!other.accounts.is_empty().await.unwrap());
}

#[tokio::test]
async fn what_was_answered_is_in_the_files_before_anything_is_closed() {
    let world = World::new(Backend::Sqlite).await;
    let mut started = Vec::new();
    for _ in 0..50 {
        started.push(world.start(UserId::generate(), Role::User).await);
    }
    // The state that a killed process leaves behind: the file and the write-ahead log, without the index of the log.
    let copy = tempfile::tempdir().unwrap();
    let path = copy.path().join("store.db");
    fs::copy(world.file(), &path).unwrap();
    fs::copy(
        world.file().with_extension("db-wal"),
        path.with_extension("db-wal"),
    )
    .unwrap();
    let revived = open(&path, seconds(30)).await.unwrap();
    for session in started {
        let loaded = revived.sessions.load(&session.id).await.unwrap();
        assert_eq!(loaded, Some(session));
    }
    assert_eq!(
        revived.sessions.census().await.unwrap().sessions,
        [50, 0, 0, 0]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_open_a_new_file_at_once_all_get_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    fs::write(&path, "").unwrap();
    let mut opens = JoinSet::new();
    for _ in 0..8 {
        let path = path.clone();
        opens.spawn(async move { open(&path, seconds(30)).await.unwrap() });
    }
    for stores in opens.join_all().await {
        stores.accounts.ping().await.unwrap();
        stores.sessions.ping().await.unwrap();
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    for content in ["short", &"This is a shopping list. ".repeat(1_000)] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("list.txt");
        fs::write(&path, content).unwrap();
        let error = open(&path, seconds(5)).await.unwrap_err();
        assert!(
            matches!(&error, OpenError::NotADatabase { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains(&path.display().to_string()));
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    // A file in the way stops root, too, unlike missing permissions.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = open(&file.join("data").join("store.db"), seconds(5))
        .await
        .unwrap_err();
    assert!(matches!(&error, OpenError::Directory { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("file/data") && text.contains("data_dir"),
        "{text}"
    );
}

#[tokio::test]
async fn a_directory_in_the_place_of_the_file_is_no_access() {
    let directory = tempfile::tempdir().unwrap();
    let error = open(directory.path(), seconds(5)).await.unwrap_err();
    assert!(matches!(&error, OpenError::NoAccess { .. }), "{error:?}");
}

#[tokio::test]
async fn a_file_that_may_not_be_written_is_no_access() {
    let world = World::new(Backend::Sqlite).await;
    world.stores.close().await;
    let path = world.file();
    let mut permissions = fs::metadata(&path).unwrap().permissions();
    permissions.set_mode(0o400);
    fs::set_permissions(&path, permissions).unwrap();
    if fs::OpenOptions::new().write(true).open(&path).is_ok() {
        // Permissions do not stop root, so the test has no meaning for it.
        return;
    }
    let error = open(&path, seconds(5)).await.unwrap_err();
    assert!(matches!(&error, OpenError::NoAccess { .. }), "{error:?}");
}

#[tokio::test]
async fn a_file_of_a_newer_release_is_refused() {
    let world = World::new(Backend::Sqlite).await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9000, 'the future', 1, x'00', 0)",
    )
    .execute(&mut raw(&world.file()).await)
    .await
    .unwrap();
    let error = open(&world.file(), seconds(5)).await.unwrap_err();
    let OpenError::NewerSchema { found, known, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(*found == 9000 && *known < 9000);
    assert!(error.to_string().contains("9000"));
}

#[tokio::test]
async fn a_file_whose_tables_are_not_ours_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("other.db");
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true);
    let mut other = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("CREATE TABLE sessions (theirs TEXT)")
        .execute(&mut other)
        .await
        .unwrap();
    let error = open(&path, seconds(5)).await.unwrap_err();
    assert!(matches!(&error, OpenError::Schema { .. }), "{error:?}");
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_master")
        .fetch_one(&mut other)
        .await
        .unwrap();
    assert_eq!(tables, 1);
}

#[tokio::test]
async fn a_file_that_another_program_keeps_locked_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    fs::write(&path, "").unwrap();
    let mut other = raw(&path).await;
    sqlx::query("BEGIN EXCLUSIVE")
        .execute(&mut other)
        .await
        .unwrap();
    let error = open(&path, Duration::from_millis(200)).await.unwrap_err();
    assert!(matches!(&error, OpenError::Locked { .. }), "{error:?}");
}

#[tokio::test]
async fn while_another_program_writes_reads_go_on_and_writes_are_unavailable_in_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let stores = open(&path, seconds(3)).await.unwrap();
    let sessions = &stores.sessions;
    let user = UserId::generate();
    let (session, _) = sessions
        .create(new_session(user, Role::User), 9)
        .await
        .unwrap();
    let mut other = raw(&path).await;
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();

    let refused = sessions.create(new_session(user, Role::User), 9).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))));
    assert!(sessions.load(&session.id).await.unwrap().is_some());
    assert_eq!(sessions.census().await.unwrap().sessions, [1, 0, 0, 0]);

    // The rejected operations did not happen later, and new operations succeed.
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    sessions
        .create(new_session(user, Role::User), 9)
        .await
        .unwrap();
    assert_eq!(sessions.census().await.unwrap().sessions, [2, 0, 0, 0]);
}

#[tokio::test]
async fn a_session_that_expires_while_its_use_waits_for_another_program_stays_expired() {
    let world = World::new(Backend::Sqlite).await;
    let sessions = &world.stores.sessions;
    let session = world.start(UserId::generate(), Role::User).await;
    let mut other = raw(&world.file()).await;
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();

    let mut touch = sessions.touch(&session.id, IDLE, Duration::ZERO);
    world.advance(seconds(60));
    let waits = tokio::time::timeout(Duration::from_millis(50), &mut touch).await;
    assert!(
        waits.is_err(),
        "the call did not wait although another program holds the lock"
    );
    world.advance(IDLE);
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    assert_eq!(touch.await.unwrap(), None);
    assert_eq!(world.census().await.expired, [1, 0, 0, 0]);
}

#[tokio::test]
async fn an_hour_of_attempts_of_a_blocked_address_takes_less_than_a_mebibyte() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let clock = Arc::new(ManualClock::default());
    let settings = SqliteSettings {
        path: path.clone(),
        timeout: seconds(30),
    };
    let stores = open_sqlite(&settings, clock.clone(), None).await.unwrap();
    let size = async || -> i64 {
        let mut raw = raw(&path).await;
        let pages: i64 = sqlx::query_scalar("PRAGMA page_count")
            .fetch_one(&mut raw)
            .await
            .unwrap();
        pages * 4_096
    };
    let before = size().await;
    let address = Some([192, 0, 2, 1].into());
    let mut attempts = 0;
    for _ in 0..60 * 4 {
        clock.advance(seconds(15));
        // Attempts against many accounts whose names the client at this address knows.
        let attempt = |_| AuditEvent {
            user_id: Some(UserId::generate()),
            address,
            ..AuditEvent::new(Kind::Login, clock.now(), "rate_limited")
        };
        let batch: Vec<_> = (0..1_000).map(attempt).collect();
        attempts += batch.len() as u64;
        stores.audit.append(&batch).await.unwrap();
    }
    let grown = size().await - before;
    assert!(grown < 1 << 20, "{grown} bytes");
    let rows = stores.audit.search(&AuditFilter::default(), 1_000).await;
    let rows = rows.unwrap();
    assert!(rows.len() <= 61, "{} rows", rows.len());
    assert_eq!(rows.iter().map(|row| row.count).sum::<u64>(), attempts);
}
