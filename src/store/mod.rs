//! Where things are kept: opens the store that the configuration names, and wraps its repositories.
//!
//! | file | what is in it |
//! |---|---|
//! | `sqlite/` | the embedded store: one file per repository |
//! | `redis/` | sessions, budgets of guesses and quotas in Redis, the scripts beside the code |
//! | `decorated/` | bounds calls by the wait budget, and records them |
//! | `ledger` | the totals of sessions that were exported, in a file of their own |
//! | `metrics` | the metrics of store operations |
//! | `cached` | answers session checks from memory |
//!
//! A repository's contract is the documentation of its trait; `tests/stores` holds every store to it.

mod cached;
mod decorated;
mod ledger;
pub mod metrics;
mod redis;
mod sqlite;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

pub use cached::Cached;
pub use decorated::Decorated;
pub use metrics::{StoreMetrics, StoreOperation};
pub use redis::{
    Erased, RedisAddress, RedisFault, RedisSettings, RedisStoreSettings, RedisTopology, StoreClock,
    erase,
};
pub use sqlite::SqliteSettings;

use ledger::LedgerFile;
use redis::RedisStore;
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

/// The location of sessions that are in the accounts database.
pub const EMBEDDED: &str = "the embedded store";

/// Why a store could not be opened. The text says what is wrong, where, and what would be right.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no file, and none was to be made.
    #[error("there is no database {}; name the one of your service in `data_dir`, or start with `skriptoteket user add` or `skriptoteket service register`", .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The directory of the file is missing and cannot be made.
    #[error("the data directory {} cannot be made; name one in `data_dir` that this user may write to", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is missing and cannot be made.
    #[error("the database {} cannot be made; its directory must be one that this user may write to", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is there and cannot be opened for writing.
    #[error("the database {} cannot be opened; this user must be able to read and write it and its directory", .path.display())]
    NoAccess {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// The file holds something else.
    #[error("{} is not an SQLite database; move it away, or name another file in `database_url`", .path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The file is a database that was damaged.
    #[error("the database {} is damaged; restore it from a backup", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: sqlx::Error,
    },
    /// Another process held the file for all of the store timeout.
    #[error("the database {} is locked by another process; end that one, or try again", .path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// A newer release has written the file.
    #[error("the database {} has schema {found} and this release knows {known}; start the release that made it, or a later one", .path.display())]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// The newest schema in the file.
        found: i64,
        /// The newest schema of this release.
        known: i64,
    },
    /// The tables could not be made or brought up to date.
    #[error("the tables of the database {} cannot be brought up to date; it was left as it was", .path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: sqlx::migrate::MigrateError,
    },
    /// SQLite failed otherwise.
    #[error("the database {} cannot be opened", .path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: sqlx::Error,
    },
    /// Redis, or what is configured of it, is not as it has to be.
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
    /// Keys in Redis were not deleted, or not all.
    #[error("not all keys in Redis were deleted")]
    Erase(#[source] StoreError),
}

/// All repositories of one store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stores {
    /// The accounts.
    pub accounts: Arc<dyn AccountRepository>,
    /// The sessions.
    pub sessions: Arc<dyn SessionRepository>,
    /// The budgets of guesses.
    pub limits: Arc<dyn LoginThrottleRepository>,
    /// The audit trail.
    pub audit: Arc<dyn AuditRepository>,
    /// The register of services.
    pub services: Arc<dyn ServiceRepository>,
    /// What tokens need: keys, revocations, used assertions.
    pub tokens: Arc<dyn TokenRepository>,
    /// What services have used.
    pub quotas: Arc<dyn RateLimitRepository>,
    /// Which replica exports the counts of sessions.
    pub observer: Arc<dyn ObserverLease>,
    /// The totals of sessions that were exported.
    pub ledger: Arc<dyn LedgerRepository>,
    /// What operators ask of the sessions: recounts and repairs.
    pub integrity: Arc<dyn SessionIntegrity>,
    file: SqliteFile,
    redis: Option<RedisStore>,
}

impl Stores {
    /// True if sessions, login throttling and rate limits are in a store that other servers can use, too. Then several servers
    /// may run, each sees the changes of the others at once, and one of them exports what is service-wide.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        self.redis.is_some()
    }

    /// Writes back what is in flight, closes the files and lets go of Redis. What is asked of the repositories afterwards
    /// is refused as unavailable. Takes at most the store timeout.
    pub async fn close(&self) {
        if let Some(redis) = &self.redis {
            redis.close();
        }
        self.file.close().await;
    }
}

/// Where everything is kept.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// The accounts database; it also holds what is not in Redis.
    pub sqlite: SqliteSettings,
    /// Where sessions, login throttling and rate limits are kept, if not in the database.
    pub redis: Option<RedisStoreSettings>,
}

impl StoreSettings {
    /// True if the store is one that other servers can use, too; see [`Stores::is_shared`].
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        self.redis.is_some()
    }

    /// Where sessions are kept, in words. No user name and no password is in it.
    #[must_use]
    pub fn session_location(&self) -> String {
        location(self.redis.as_ref())
    }

    /// Says whether the store is there already. [`open`] would create it.
    ///
    /// # Errors
    ///
    /// [`OpenError::Missing`] if it is not.
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
/// With `metrics`, as in a server, calls are recorded and sessions of the embedded store are cached. Without, as in a single
/// command, they are not.
///
/// # Errors
///
/// [`OpenError`]; the store was left as it was, but for a directory or an empty file that were created.
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

/// Opens an embedded store, with sessions, budgets of guesses, quotas and the observer's lease in Redis where that is given;
/// see [`open`].
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

/// An accounts database whose keys in Redis may belong to another one, to be made its own.
#[derive(Debug)]
pub struct TakeOver {
    /// The audit trail, which is in the database.
    pub audit: Arc<dyn AuditRepository>,
    file: SqliteFile,
    path: PathBuf,
    redis: RedisStoreSettings,
}

impl TakeOver {
    /// Opens the accounts database that `settings` name, and touches nothing in Redis. `None` if there is no Redis.
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

    /// Makes the keys those of this database, whichever they belonged to, and opens the stores as for a command. The
    /// sessions there are those of other accounts: whoever calls this ends them next.
    ///
    /// # Errors
    ///
    /// [`OpenError`], as of [`open`]; [`OpenError::InUse`] if a server is using the keys; [`OpenError::TakeOver`] if Redis
    /// does not answer.
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

/// The same stores, decorated. Those of a server, which has metrics, have a cache in front of the embedded sessions: what it
/// answers is no operation of the store. Sessions in a shared store are not cached: what one replica changes the others see at
/// their next check.
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
