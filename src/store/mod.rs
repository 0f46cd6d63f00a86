//! Opens the store that the configuration names, and decorates its repositories.
//!
//! | file | what is in it |
//! |---|---|
//! | `mod` | the repositories of one store, how they are opened and decorated |
//! | `error` | why a store cannot be opened |
//! | `take_over` | assigns the keys in Redis to another accounts database |
//! | `sqlite/` | the embedded store: one file per repository |
//!
//! The contract of a repository is the documentation of its trait; `tests/integration/stores` checks every store against it.

mod error;
mod sqlite;
mod take_over;

use std::{path::Path, sync::Arc};

pub use error::OpenError;
pub use skriptoteket_redis::{
    EraseError, Erased, RedisAddress, RedisFault, RedisSettings, RedisStoreSettings, RedisTopology,
    StoreClock, erase,
};
pub use skriptoteket_store::{Cached, Decorated, StoreMetrics, StoreOperation, metrics};
pub use sqlite::SqliteSettings;
pub use take_over::TakeOver;

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
    guard::LoginThrottleRepository,
    services::{RateLimitRepository, ServiceRepository, TokenRepository},
    sessions::{
        LedgerRepository, ObserverLease, SessionIntegrity, SessionRepository, SoleObserver,
    },
};

/// The session location if sessions are in the accounts database.
pub const EMBEDDED: &str = "the embedded store";

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
