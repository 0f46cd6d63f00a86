//! Stores on Redis servers that a test may disrupt.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use skriptoteket::{
    accounts::{Role, UserId},
    clock::SystemClock,
    error::StoreError,
    sessions::{EndReason, SessionRecord},
    store::{
        OpenError, RedisFault, RedisSettings, RedisStoreSettings, RedisTopology, SqliteSettings,
        StoreClock, Stores, open_with,
    },
};
use skriptoteket_testing::{
    redis::{RedisServer, Wire},
    stores::{new_session, open_file, redis_settings, standalone},
};
use tempfile::TempDir;
use tokio::{sync::OnceCell, time::Instant};

/// The store timeout: long enough that a healthy server responds in time on a busy machine, too.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);

/// What a busy machine may add to the timeout, still less than a second timeout.
pub(crate) const SLACK: Duration = Duration::from_millis(1_900);

/// The time within which a store recovers after its server: attempts to connect are at most one second apart.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// The time limit for slow operations.
const TIME_LIMIT: Duration = Duration::from_mins(1);

/// The prefix of all keys.
pub(crate) const PREFIX: &str = "test";

/// The stores of one replica of the service.
pub(crate) struct Replica {
    pub(crate) stores: Stores,
    _directory: TempDir,
}

/// Returns the settings for a server on this port, with defaults for the rest.
pub(crate) fn on_port(port: u16) -> RedisSettings {
    settings(standalone(port))
}

pub(crate) fn settings(topology: RedisTopology) -> RedisSettings {
    redis_settings(topology, PREFIX)
}

/// Returns the accounts database that all replicas copy: servers of one service have the same accounts.
async fn accounts() -> &'static Path {
    static ACCOUNTS: OnceCell<(TempDir, PathBuf)> = OnceCell::const_new();
    let made = ACCOUNTS.get_or_init(|| async {
        let directory = tempfile::tempdir().unwrap();
        let path = new_accounts(directory.path()).await;
        (directory, path)
    });
    &made.await.1
}

/// Creates a separate accounts database: another deployment.
pub(crate) async fn new_accounts(directory: &Path) -> PathBuf {
    let path = directory.join("accounts.db");
    let stores = open_file(&path, Arc::new(SystemClock::default())).await;
    stores.close().await;
    path
}

impl Replica {
    pub(crate) async fn open(redis: RedisSettings) -> Self {
        Self::try_open(redis).await.unwrap()
    }

    pub(crate) async fn on(server: &RedisServer) -> Self {
        Self::open(on_port(server.port())).await
    }

    /// The same, with a store timeout that no stall of the machine reaches: for operations that must not fail.
    pub(crate) async fn patient_on(server: &RedisServer) -> Self {
        let (accounts, redis) = (accounts().await, on_port(server.port()));
        Self::with_timeout(accounts, redis, TIME_LIMIT)
            .await
            .unwrap()
    }

    async fn try_open(redis: RedisSettings) -> Result<Self, OpenError> {
        Self::of_deployment(accounts().await, redis).await
    }

    /// Opens a replica with a copy of this accounts database.
    pub(crate) async fn of_deployment(
        accounts: &Path,
        redis: RedisSettings,
    ) -> Result<Self, OpenError> {
        Self::with_timeout(accounts, redis, TIMEOUT).await
    }

    async fn with_timeout(
        accounts: &Path,
        redis: RedisSettings,
        timeout: Duration,
    ) -> Result<Self, OpenError> {
        let directory = tempfile::tempdir().unwrap();
        let sqlite = SqliteSettings {
            path: directory.path().join("store.db"),
            timeout: TIME_LIMIT,
        };
        std::fs::copy(accounts, &sqlite.path).unwrap();
        let redis = RedisStoreSettings {
            redis,
            timeout,
            clock: StoreClock::Server,
        };
        let clock = Arc::new(SystemClock::default());
        let stores = open_with(&sqlite, Some(&redis), clock, None).await?;
        Ok(Self {
            stores,
            _directory: directory,
        })
    }

    /// Starts a session of a new user.
    pub(crate) async fn start(&self) -> Result<SessionRecord, StoreError> {
        self.start_of(UserId::generate()).await
    }

    pub(crate) async fn start_of(&self, user: UserId) -> Result<SessionRecord, StoreError> {
        let session = new_session(user, Role::User);
        let created = self.stores.sessions.create(session, 100).await?;
        Ok(created.0)
    }

    pub(crate) async fn end(&self, session: &SessionRecord) -> Result<bool, StoreError> {
        let ended = self.stores.sessions.end(&session.id, EndReason::Logout);
        Ok(ended.await?.is_some())
    }

    /// Returns the reason why the store is unavailable, as shown to operators; panics if it is available.
    pub(crate) async fn why_away(&self) -> String {
        self.stores.sessions.ping().await.unwrap_err().in_full()
    }

    /// Waits until the store accepts writes, and returns how long that took.
    pub(crate) async fn recovered(&self) -> Duration {
        let since = Instant::now();
        while let Err(error) = self.stores.sessions.ping().await {
            let waited = since.elapsed();
            assert!(waited < TIME_LIMIT, "not back: {}", error.in_full());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        since.elapsed()
    }

    /// Checks that the index, the records and the totals agree, and returns the number of live sessions. The records
    /// are counted on `wires`: one to each server.
    pub(crate) async fn live_by_all_counts(&self, wires: Vec<Wire>) -> u64 {
        let census = self.stores.sessions.census().await.unwrap();
        let live: u64 = census.sessions.iter().sum();
        let expired: u64 = census.expired.iter().sum();
        let started: u64 = census.totals.started.iter().sum();
        let ended: u64 = census.totals.ended.iter().flatten().sum();
        assert_eq!(started - ended, live + expired, "{census:?}");
        let (mut records, mut indexed) = (0, 0);
        for mut wire in wires {
            records += wire.scan(&format!("{{{PREFIX}:*}}:s:*")).len() as u64;
            for index in wire.scan(&format!("{{{PREFIX}:*}}:z")) {
                indexed += wire.ask(&["ZCARD", &index]).number().unsigned_abs();
            }
        }
        assert_eq!((records, indexed), (live + expired, live + expired));
        live
    }
}

/// Returns the fault of these settings; panics if there is none.
pub(crate) async fn fault(redis: RedisSettings) -> RedisFault {
    let secret = redis.password.clone();
    let fault = match Replica::try_open(redis).await.map(drop) {
        Err(OpenError::Redis(fault)) => fault,
        other => panic!("{other:?}"),
    };
    if let Some(secret) = secret {
        let secret = secrecy::ExposeSecret::expose_secret(&secret);
        assert!(!format!("{fault} {fault:?}").contains(secret));
    }
    fault
}

/// Measures how long `work` takes.
pub(crate) async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let since = Instant::now();
    let done = work.await;
    (done, since.elapsed())
}
