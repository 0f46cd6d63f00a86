//! Opens the store that the configuration names, and decorates its repositories.
//!
//! | file | what is in it |
//! |---|---|
//! | `sqlite/` | the embedded store: one file per repository |
//!
//! The contract of a repository is the documentation of its trait; `tests/integration/stores` checks every store against it.

mod sqlite;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

pub use skriptoteket_redis::{
    EraseError, Erased, RedisAddress, RedisFault, RedisSettings, RedisStoreSettings, RedisTopology,
    StoreClock, erase,
};
pub use skriptoteket_store::{Cached, Decorated, StoreMetrics, StoreOperation, metrics};
pub use sqlite::SqliteSettings;

use skriptoteket_redis::RedisStore;
use skriptoteket_store::LedgerFile;
use sqlite::{
    SqliteAccounts, SqliteAudit, SqliteFile, SqliteIntegrity, SqliteLimits, SqliteQuotas,
    SqliteServices, SqliteSessions, SqliteTokens,
};

use crate::{
    accounts::AccountRepository,
    audit::AuditRepository,
    clock::Clock,
    error::StoreError,
    guard::LoginThrottleRepository,
    services::{RateLimitRepository, ServiceRepository, TokenRepository},
    sessions::{
        LedgerRepository, ObserverLease, SessionIntegrity, SessionRepository, SoleObserver,
    },
};

/// The session location if sessions are in the accounts database.
pub const EMBEDDED: &str = "the embedded store";

/// Why a store could not be opened. The text says what is wrong, where, and how to correct it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file does not exist, and was not to be created.
    #[error("there is no database {}; name the one of your service in `data_dir`, or start with `skriptoteket user add` or `skriptoteket service register`", .path.display())]
    Missing {
        /// The path of the file.
        path: PathBuf,
    },
    /// The directory of the file is missing and cannot be created.
    #[error("the data directory {} cannot be created; set `data_dir` to one that this user may write to", .path.display())]
    Directory {
        /// The path of the directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The file is missing and cannot be created.
    #[error("the database {} cannot be created; this user must be able to write to its directory", .path.display())]
    File {
        /// The path of the file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The file exists and cannot be opened for writing.
    #[error("the database {} cannot be opened; this user must be able to read and write it and its directory", .path.display())]
    NoAccess {
        /// The path of the file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// The file is not an SQLite database.
    #[error("{} is not an SQLite database; move it away, or name another file in `database_url`", .path.display())]
    NotADatabase {
        /// The path of the file.
        path: PathBuf,
    },
    /// The database is damaged.
    #[error("the database {} is damaged; restore it from a backup", .path.display())]
    Damaged {
        /// The path of the file.
        path: PathBuf,
        /// The error of SQLite.
        #[source]
        source: sqlx::Error,
    },
    /// Another process locked the file for the whole store timeout.
    #[error("the database {} is locked by another process; stop that process, or try again", .path.display())]
    Locked {
        /// The path of the file.
        path: PathBuf,
    },
    /// The file was written by a newer release.
    #[error("the database {} has schema {found} and this release supports {known}; start the release that wrote it, or a later one", .path.display())]
    NewerSchema {
        /// The path of the file.
        path: PathBuf,
        /// The newest schema in the file.
        found: i64,
        /// The newest schema of this release.
        known: i64,
    },
    /// The tables could not be created or migrated.
    #[error("the tables of the database {} cannot be migrated; the database is unchanged", .path.display())]
    Schema {
        /// The path of the file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: sqlx::migrate::MigrateError,
    },
    /// Another error of SQLite.
    #[error("the database {} cannot be opened", .path.display())]
    Failed {
        /// The path of the file.
        path: PathBuf,
        /// The error of SQLite.
        #[source]
        source: sqlx::Error,
    },
    /// Redis or its configuration does not meet the requirements.
    #[error(transparent)]
    Redis(#[from] RedisFault),
    /// The keys in Redis cannot be taken over while a server uses them.
    #[error(
        "a server is using the keys in Redis, or ended less than 20 s ago; stop all of them, and try again"
    )]
    InUse,
    /// The keys in Redis were not taken over.
    #[error("the keys in Redis were not taken over")]
    TakeOver(#[source] StoreError),
    /// Some or all keys in Redis were not deleted.
    #[error("not all keys in Redis were deleted")]
    Erase(#[source] StoreError),
}

impl From<EraseError> for OpenError {
    fn from(error: EraseError) -> Self {
        match error {
            EraseError::Redis(fault) => Self::Redis(fault),
            EraseError::Store(error) => Self::Erase(error),
        }
    }
}

/// All repositories of one store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stores {
    /// The accounts.
    pub accounts: Arc<dyn AccountRepository>,
    /// The sessions.
    pub sessions: Arc<dyn SessionRepository>,
    /// Login throttling.
    pub limits: Arc<dyn LoginThrottleRepository>,
    /// The audit trail.
    pub audit: Arc<dyn AuditRepository>,
    /// The service register.
    pub services: Arc<dyn ServiceRepository>,
    /// Token data: signing keys, revocations, used assertions.
    pub tokens: Arc<dyn TokenRepository>,
    /// The rate limits of services.
    pub quotas: Arc<dyn RateLimitRepository>,
    /// Which replica exports the counts of sessions.
    pub observer: Arc<dyn ObserverLease>,
    /// The exported totals of sessions.
    pub ledger: Arc<dyn LedgerRepository>,
    /// Checks and repairs of the sessions.
    pub integrity: Arc<dyn SessionIntegrity>,
    file: SqliteFile,
    redis: Option<RedisStore>,
}

impl Stores {
    /// True if sessions, login throttling and rate limits are in a store that other servers can use too. Several
    /// servers may then run, each sees the changes of the others at once, and one of them exports the service-wide
    /// metrics.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        self.redis.is_some()
    }

    /// Writes back what is in flight, closes the files and disconnects from Redis. Later calls of the repositories are
    /// rejected as unavailable. Takes at most the store timeout.
    pub async fn close(&self) {
        if let Some(redis) = &self.redis {
            redis.close();
        }
        self.file.close().await;
    }
}

/// The locations of all data.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// The accounts database; it also stores what is not in Redis.
    pub sqlite: SqliteSettings,
    /// The store of sessions, login throttling and rate limits, if not the database.
    pub redis: Option<RedisStoreSettings>,
}

impl StoreSettings {
    /// True if other servers can use the store too; see [`Stores::is_shared`].
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        self.redis.is_some()
    }

    /// The location of the sessions, without user name and password.
    #[must_use]
    pub fn session_location(&self) -> String {
        location(self.redis.as_ref())
    }

    /// Checks whether the store exists. [`open`] would create it.
    ///
    /// # Errors
    ///
    /// [`OpenError::Missing`] if it does not.
    pub fn find(&self) -> Result<(), OpenError> {
        let path = &self.sqlite.path;
        if path.exists() {
            return Ok(());
        }
        Err(OpenError::Missing { path: path.clone() })
    }
}

fn location(redis: Option<&RedisStoreSettings>) -> String {
    redis.map_or_else(|| EMBEDDED.to_owned(), |it| it.redis.location())
}

/// Opens the store that `settings` name; creates it if there is none.
///
/// With `metrics`, as in a server, calls are recorded and sessions of the embedded store are cached. Without them, as
/// in a single command, they are not.
///
/// # Errors
///
/// [`OpenError`]; the store is unchanged, except for a directory or an empty file that were created.
pub async fn open(
    settings: &StoreSettings,
    clock: Arc<dyn Clock>,
    metrics: Option<StoreMetrics>,
) -> Result<Stores, OpenError> {
    open_with(&settings.sqlite, settings.redis.as_ref(), clock, metrics).await
}

/// Opens an embedded store; see [`open`].
///
/// # Errors
///
/// [`OpenError`], as of [`open`].
pub async fn open_sqlite(
    settings: &SqliteSettings,
    clock: Arc<dyn Clock>,
    metrics: Option<StoreMetrics>,
) -> Result<Stores, OpenError> {
    open_with(settings, None, clock, metrics).await
}

/// Opens an embedded store, with sessions, login throttling, rate limits and the observer lease in Redis if that is
/// configured; see [`open`].
///
/// # Errors
///
/// [`OpenError`], as of [`open`].
pub async fn open_with(
    sqlite: &SqliteSettings,
    redis: Option<&RedisStoreSettings>,
    clock: Arc<dyn Clock>,
    metrics: Option<StoreMetrics>,
) -> Result<Stores, OpenError> {
    let file = SqliteFile::open(sqlite, Arc::clone(&clock)).await?;
    let location = location(redis);
    let ledger = Arc::new(LedgerFile::new(&sqlite.path, location, sqlite.timeout));
    let redis = match redis {
        Some(settings) => {
            let deployment = deployment(&file, &sqlite.path).await?;
            Some(RedisStore::open(settings, Some(deployment)).await?)
        }
        None => None,
    };
    let bare = bare(file, redis, ledger);
    Ok(decorated(bare, metrics.as_ref(), &clock))
}

async fn deployment(file: &SqliteFile, path: &Path) -> Result<String, OpenError> {
    let id = file.deployment().await;
    id.map_err(|source| OpenError::Failed {
        path: path.to_owned(),
        source,
    })
}

/// An accounts database that can take over keys in Redis that may belong to another one.
#[derive(Debug)]
pub struct TakeOver {
    /// The audit trail, which is in the database.
    pub audit: Arc<dyn AuditRepository>,
    file: SqliteFile,
    path: PathBuf,
    redis: RedisStoreSettings,
}

impl TakeOver {
    /// Opens the accounts database that `settings` name, without accessing Redis. `None` if there is no Redis.
    ///
    /// # Errors
    ///
    /// [`OpenError`], as of [`open`].
    pub async fn open(
        settings: &StoreSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Option<Self>, OpenError> {
        let Some(redis) = settings.redis.clone() else {
            return Ok(None);
        };
        let file = SqliteFile::open(&settings.sqlite, clock).await?;
        Ok(Some(Self {
            audit: Arc::new(SqliteAudit::new(file.clone())),
            file,
            path: settings.sqlite.path.clone(),
            redis,
        }))
    }

    /// Assigns the keys to this database, whichever they belonged to, and opens the stores as for a command. The
    /// sessions there belong to other accounts: the caller has to end them next.
    ///
    /// # Errors
    ///
    /// [`OpenError`], as of [`open`]; [`OpenError::InUse`] if a server is using the keys; [`OpenError::TakeOver`] if
    /// Redis does not respond.
    pub async fn take(&self) -> Result<Stores, OpenError> {
        let location = self.redis.redis.location();
        let ledger = LedgerFile::new(&self.path, location, self.redis.timeout);
        let deployment = deployment(&self.file, &self.path).await?;
        let redis = RedisStore::open(&self.redis, None).await?;
        if redis
            .take_over(&deployment)
            .await
            .map_err(OpenError::TakeOver)?
        {
            return Ok(bare(self.file.clone(), Some(redis), Arc::new(ledger)));
        }
        Err(OpenError::InUse)
    }

    /// Closes the database. Takes at most the store timeout.
    pub async fn close(&self) {
        self.file.close().await;
    }
}

fn bare(file: SqliteFile, redis: Option<RedisStore>, ledger: Arc<LedgerFile>) -> Stores {
    let accounts = Arc::new(SqliteAccounts::new(file.clone()));
    let audit = Arc::new(SqliteAudit::new(file.clone()));
    let services = Arc::new(SqliteServices::new(file.clone()));
    let tokens = Arc::new(SqliteTokens::new(file.clone()));
    match redis {
        None => Stores {
            accounts,
            sessions: Arc::new(SqliteSessions::new(file.clone())),
            limits: Arc::new(SqliteLimits::new(file.clone())),
            audit,
            services,
            tokens,
            quotas: Arc::new(SqliteQuotas::new(file.clone())),
            observer: Arc::new(SoleObserver),
            ledger,
            integrity: Arc::new(SqliteIntegrity::new(file.clone())),
            file,
            redis: None,
        },
        Some(redis) => Stores {
            accounts,
            sessions: Arc::new(redis.sessions()),
            limits: Arc::new(redis.limits()),
            audit,
            services,
            tokens,
            quotas: Arc::new(redis.quotas()),
            observer: Arc::new(redis.observer()),
            ledger,
            integrity: Arc::new(redis.integrity()),
            file,
            redis: Some(redis),
        },
    }
}

/// Decorates the stores. Those of a server, which has metrics, have a cache in front of the embedded sessions: a cache
/// hit is not a store operation. Sessions in a shared store are not cached: the other replicas see the changes of one
/// at their next check.
fn decorated(bare: Stores, metrics: Option<&StoreMetrics>, clock: &Arc<dyn Clock>) -> Stores {
    let is_shared = bare.is_shared();
    let sessions = decorate(bare.sessions, metrics, clock);
    let sessions: Arc<dyn SessionRepository> = if is_shared || metrics.is_none() {
        sessions
    } else {
        Arc::new(Cached::new(sessions, Arc::clone(clock)))
    };
    Stores {
        accounts: decorate(bare.accounts, metrics, clock),
        sessions,
        limits: decorate(bare.limits, metrics, clock),
        audit: decorate(bare.audit, metrics, clock),
        services: decorate(bare.services, metrics, clock),
        tokens: decorate(bare.tokens, metrics, clock),
        quotas: decorate(bare.quotas, metrics, clock),
        observer: bare.observer,
        ledger: bare.ledger,
        integrity: bare.integrity,
        file: bare.file,
        redis: bare.redis,
    }
}

fn decorate<R: ?Sized>(
    repository: Arc<R>,
    metrics: Option<&StoreMetrics>,
    clock: &Arc<dyn Clock>,
) -> Arc<Decorated<R>> {
    Arc::new(Decorated::new(
        repository,
        Arc::clone(clock),
        metrics.cloned(),
    ))
}
