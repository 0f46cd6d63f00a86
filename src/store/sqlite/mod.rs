//! The embedded store: one SQLite file for accounts, sessions, login throttling, the audit trail, and all data of
//! services.
//!
//! | file | what is in it |
//! |---|---|
//! | `mod` | the file: how it is created, opened, migrated, locked and closed |
//! | `error` | maps SQLite's errors to those of this crate |
//! | `limits`, `tokens`, `quotas` | one repository each, with its SQL |
//! | `accounts` | the repository of accounts |
//! | `account_sql`, `account_rows` | its statements; converts rows to accounts |
//! | `audit` | the audit trail, and the events that are committed with a change |
//! | `audit_counts`, `audit_search` | the rows that count rejected attempts; the search, and its rows |
//! | `services` | the service register |
//! | `service_rows`, `service_writes` | converts rows to services; writes services, credentials, revision and totals |
//! | `sessions` | the repository of sessions |
//! | `session_sql`, `session_rows` | its statements; reads and writes records, and updates the totals |
//! | `session_lists` | the sessions of one user, and pages of all |
//! | `session_roles` | the role of a user's sessions: the account version that last set it, and the move to another one |
//! | `integrity`, `integrity_sql` | checks and repairs of the sessions, and their statements |
//! | `plans`, `tests` | tests: the query plans of the statements; a full disk |
//! | `migrations`, `migrations/` | the tables, and the triggers that count sessions |
//!
//! The file is in WAL mode. Readers see the last commit and never wait; writers of this process queue for one
//! connection in order of arrival; SQLite makes them wait for writers of other processes (the command line).

mod account_rows;
mod account_sql;
mod accounts;
mod audit;
mod audit_counts;
mod audit_search;
mod error;
mod integrity;
mod integrity_sql;
mod limits;
mod migrations;
#[cfg(test)]
mod plans;
mod quotas;
mod service_rows;
mod service_writes;
mod services;
mod session_lists;
mod session_roles;
mod session_rows;
mod session_sql;
mod sessions;
#[cfg(test)]
mod tests;
mod tokens;

use std::{
    fs::{DirBuilder, OpenOptions},
    future::Future,
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sqlx::{
    Connection, Sqlite, SqlitePool, Transaction,
    migrate::MigrateError,
    pool::PoolConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

pub(super) use accounts::SqliteAccounts;
pub(super) use audit::SqliteAudit;
pub(super) use integrity::SqliteIntegrity;
pub(super) use limits::SqliteLimits;
pub(super) use quotas::SqliteQuotas;
pub(super) use services::SqliteServices;
pub(super) use sessions::SqliteSessions;
pub(super) use tokens::SqliteTokens;

use super::OpenError;
use crate::{
    clock::{Clock, Timestamp},
    error::StoreError,
};

/// Read-only connections. Session checks are answered from memory, so a few are enough.
const READERS: u32 = 4;

/// Minimum time for which opening is retried: a start has more time than a request, and after a crash other processes
/// are writing too.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause between two attempts. The change to WAL mode waits for no lock: it fails if two processes create the same
/// file.
const OPEN_PAUSE: Duration = Duration::from_millis(20);

/// The write-ahead log is truncated to this size after a burst, in bytes.
const WAL_SIZE_LIMIT: &str = "16777216";

/// Random, so that every page of it changes.
const WRITE_PROBE: &str = "INSERT INTO write_probe (one, filler) VALUES (1, randomblob(8192)) \
    ON CONFLICT (one) DO UPDATE SET filler = excluded.filler";

/// The path of the file and the timeout of operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteSettings {
    /// The path of the file; the file and its directory are created if they are missing.
    pub path: PathBuf,
    /// Timeout of one operation, including the wait for other writers.
    pub timeout: Duration,
}

/// The open file. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct SqliteFile {
    writer: SqlitePool,
    readers: SqlitePool,
    timeout: Duration,
    clock: Arc<dyn Clock>,
    path: Arc<Path>,
    /// The identity of the file at `path` when it was opened.
    identity: Identity,
}

/// Device and inode.
type Identity = (u64, u64);

impl SqliteFile {
    /// Opens the file, creates it if it is missing, and migrates its tables. Waits a while for other processes that are
    /// creating or writing it.
    pub(super) async fn open(
        settings: &SqliteSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let tries = async {
            loop {
                match Self::open_now(settings, Arc::clone(&clock)).await {
                    Err(OpenError::Locked { .. }) => tokio::time::sleep(OPEN_PAUSE).await,
                    result => return result,
                }
            }
        };
        let time_limit = settings.timeout.max(OPEN_TIMEOUT);
        match tokio::time::timeout(time_limit, tries).await {
            Ok(result) => result,
            Err(_) => Err(OpenError::Locked {
                path: settings.path.clone(),
            }),
        }
    }

    async fn open_now(settings: &SqliteSettings, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let SqliteSettings { path, timeout } = settings;
        make_directory(path)?;
        make_file(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            // A commit has reached the file system when it is acknowledged, so it survives the death of the process.
            // Only a power failure can undo the last commits, and it never corrupts the file; FULL would prevent that
            // at the cost of an fsync per login.
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(*timeout)
            .pragma("journal_size_limit", WAL_SIZE_LIMIT)
            .thread_name(|id| format!("sqlite-{id}"));
        let writer = connect(path, *timeout, 1, &options).await?;
        migrate(&writer)
            .await
            .map_err(|error| error::migration(path, error))?;
        let options = options.pragma("query_only", "ON");
        let readers = connect(path, *timeout, READERS, &options).await?;
        let identity = identity(path).map_err(|source| OpenError::File {
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            writer,
            readers,
            timeout: *timeout,
            clock,
            path: path.as_path().into(),
            identity,
        })
    }

    /// Writes the log back into the file and closes it. Later calls are rejected as unavailable.
    pub(super) async fn close(&self) {
        let closing = async {
            self.readers.close().await;
            // Closing the last connection does this too, but the command line may have another one open.
            let checkpoint = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)");
            if let Err(error) = checkpoint.execute(&self.writer).await {
                tracing::debug!(%error, "the write-ahead log was not truncated; the next start reads it");
            }
            self.writer.close().await;
        };
        if tokio::time::timeout(self.timeout, closing).await.is_err() {
            tracing::warn!(
                "the embedded store is still busy; its write-ahead log was not truncated"
            );
        }
    }

    /// Fails if the file was removed or replaced. SQLite would not notice, and would continue in a file that is gone
    /// when this process ends.
    async fn is_in_its_place(&self) -> Result<(), StoreError> {
        let path = Arc::clone(&self.path);
        // A hanging disk would block a worker.
        let found = tokio::task::spawn_blocking(move || identity(&path)).await;
        let found = found.map_err(|error| StoreError::Unavailable(error.into()))?;
        match found {
            Ok(identity) if identity == self.identity => Ok(()),
            Ok(_) => Err(StoreError::Unavailable(
                "the database file was replaced; restart the service".into(),
            )),
            Err(error) => Err(StoreError::Unavailable(
                format!("the database file cannot be found: {error}").into(),
            )),
        }
    }

    /// The ID of the deployment that this file belongs to: random, created with the file, and the same in its copies.
    pub(super) async fn deployment(&self) -> Result<String, sqlx::Error> {
        let id = sqlx::query_scalar("SELECT id FROM deployment");
        id.fetch_one(&mut *self.reader().await?).await
    }

    /// Checks that the file can be written, by writing some pages: that the write lock is available says nothing about
    /// the disk. The write is large enough to make the write-ahead log grow, as a login does.
    async fn write_probe(&self) -> Result<(), sqlx::Error> {
        sqlx::query(WRITE_PROBE)
            .execute(&mut *self.writer().await?)
            .await?;
        Ok(())
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns a connection that sees the last commit.
    async fn reader(&self) -> Result<PoolConnection<Sqlite>, sqlx::Error> {
        self.readers.acquire().await
    }

    /// Begins a transaction whose reads all see the last commit before the first of them.
    async fn snapshot(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.readers.begin().await
    }

    /// Returns the only connection that writes.
    async fn writer(&self) -> Result<PoolConnection<Sqlite>, sqlx::Error> {
        self.writer.acquire().await
    }

    /// Begins a transaction that holds the write lock from the start: acquired later, it could not wait for another
    /// process, because the data that was read would be outdated. Rolls back when dropped.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.writer.begin_with("BEGIN IMMEDIATE").await
    }

    /// Runs `work` within the store timeout, including the wait for a connection.
    async fn in_time<T, E: From<StoreError>>(
        &self,
        work: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        match tokio::time::timeout(self.timeout, work).await {
            Ok(result) => result,
            Err(_) => Err(StoreError::timed_out().into()),
        }
    }
}

/// Creates the directory of the file, accessible only to this user. An existing directory is not changed.
fn make_directory(path: &Path) -> Result<(), OpenError> {
    let Some(directory) = path.parent().filter(|it| !it.as_os_str().is_empty()) else {
        return Ok(());
    };
    let mut builder = DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|source| OpenError::Directory {
            path: directory.to_owned(),
            source,
        })
}

/// Creates an empty file that only this user can read; SQLite gives the files next to it the same mode.
///
/// An existing file is not opened: closing it again would drop the POSIX locks that SQLite may hold on it elsewhere in
/// this process (<https://www.sqlite.org/howtocorrupt.html>, section 2.2).
fn make_file(path: &Path) -> Result<(), OpenError> {
    let mut options = OpenOptions::new();
    match options.write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(OpenError::File {
            path: path.to_owned(),
            source,
        }),
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    let metadata = path.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

async fn connect(
    path: &Path,
    timeout: Duration,
    connections: u32,
    options: &SqliteConnectOptions,
) -> Result<SqlitePool, OpenError> {
    let pool = SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(timeout)
        .idle_timeout(None)
        .max_lifetime(None)
        // Only this process can end a connection to a file.
        .test_before_acquire(false)
        .after_release(|connection, _| {
            Box::pin(async move {
                // The connection's thread rolls a dropped transaction back; wait for that. If SQLite itself rolled it
                // back (disk full), sqlx still counts it as open and begins no other: reconnect.
                connection.ping().await?;
                Ok(!connection.is_in_transaction())
            })
        });
    let connected = pool.connect_with(options.clone()).await;
    connected.map_err(|error| error::opening(path, error))
}

/// Runs all migrations in one transaction: the migrator takes no lock on SQLite, so two processes that start at the
/// same time would otherwise both create the tables.
async fn migrate(writer: &SqlitePool) -> Result<(), MigrateError> {
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
    // Not `run`: it goes through `Acquire`, which hides from the compiler that this future is `Send`.
    migrations::MIGRATOR
        .run_direct(None, &mut *transaction, false)
        .await?;
    transaction.commit().await?;
    Ok(())
}
