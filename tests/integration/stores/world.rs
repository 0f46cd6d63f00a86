//! The stores under test.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use skriptoteket::{
    accounts::{NewAccount, Profile, Role, User, UserId, Username},
    clock::{Clock, ManualClock, Timestamp},
    services::{ClientSecret, LimitPolicy, NewService, ServiceId},
    sessions::{Census, EndReason, Ended, SessionRecord},
    store::{
        RedisAddress, RedisSettings, RedisStoreSettings, RedisTopology, SqliteSettings, StoreClock,
        StoreMetrics, Stores, open_with,
    },
};
use skriptoteket_testing::{
    redis::{RedisCluster, RedisServer, Wire},
    stores::{LONG_TIMEOUT, new_session, redis_at, redis_settings, standalone},
};
use tempfile::TempDir;
use uuid::Uuid;

/// Generates a test of each contract for each store.
macro_rules! on_every_store {
    ($($contract:ident),+ $(,)?) => {
        mod on_sqlite {
            use crate::stores::world::{Backend, World};
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $contract() {
                    super::$contract(World::new(Backend::Sqlite).await).await;
                }
            )+
        }
        mod on_sqlite_observed_and_cached {
            use crate::stores::world::{Backend, World};
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $contract() {
                    super::$contract(World::new(Backend::SqliteObservedAndCached).await).await;
                }
            )+
        }
        mod on_redis {
            use crate::stores::world::{Backend, World};
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $contract() {
                    super::$contract(World::new(Backend::Redis).await).await;
                }
            )+
        }
        mod on_a_redis_cluster {
            use crate::stores::world::{Backend, World};
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $contract() {
                    super::$contract(World::new(Backend::RedisCluster).await).await;
                }
            )+
        }
    };
}

/// Generates a test of each contract for the embedded store, which holds this data wherever the sessions are.
macro_rules! on_the_embedded_store {
    ($($contract:ident),+ $(,)?) => {
        mod on_sqlite {
            use crate::stores::world::{Backend, World};
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $contract() {
                    super::$contract(World::new(Backend::Sqlite).await).await;
                }
            )+
        }
        mod on_sqlite_observed {
            use crate::stores::world::{Backend, World};
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $contract() {
                    super::$contract(World::new(Backend::SqliteObservedAndCached).await).await;
                }
            )+
        }
    };
}

/// The store, and the layers around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    /// As a single command opens it.
    Sqlite,
    /// As the service opens it.
    SqliteObservedAndCached,
    /// Sessions, budgets and quotas on one Redis server.
    Redis,
    /// Sessions, budgets and quotas in a Cluster of three.
    RedisCluster,
}

/// The server that all tests of this process share; each test has its own key prefix.
pub(crate) fn redis_server() -> &'static RedisServer {
    static SERVER: OnceLock<RedisServer> = OnceLock::new();
    SERVER.get_or_init(|| RedisServer::start(&[]))
}

pub(crate) fn redis_cluster() -> &'static RedisCluster {
    static CLUSTER: OnceLock<RedisCluster> = OnceLock::new();
    CLUSTER.get_or_init(|| RedisCluster::start(3))
}

/// An empty store and its clock.
pub(crate) struct World {
    pub(crate) stores: Stores,
    pub(crate) clock: Arc<ManualClock>,
    backend: Backend,
    directory: TempDir,
    redis: Option<RedisStoreSettings>,
}

impl World {
    pub(crate) async fn new(backend: Backend) -> Self {
        let topology = match backend {
            Backend::Sqlite | Backend::SqliteObservedAndCached => None,
            Backend::Redis => Some(standalone(redis_server().port())),
            Backend::RedisCluster => {
                let nodes = redis_cluster().nodes.iter();
                let nodes = nodes.map(|node| redis_at(node.port())).collect();
                Some(RedisTopology::Cluster { nodes })
            }
        };
        Self::at(backend, topology).await
    }

    /// Creates a world on a Redis server of the test's own.
    pub(crate) async fn on(server: &RedisServer) -> Self {
        Self::at(Backend::Redis, Some(standalone(server.port()))).await
    }

    async fn at(backend: Backend, redis: Option<RedisTopology>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::default());
        let redis = redis.map(|topology| store_settings(topology, Arc::clone(&clock)));
        let settings = settings(&directory);
        let stores = open(backend, &settings, redis.as_ref(), Arc::clone(&clock)).await;
        Self {
            stores,
            clock,
            backend,
            directory,
            redis,
        }
    }

    /// Opens the same store as another process does.
    pub(crate) async fn another(&self) -> Stores {
        let (settings, clock) = (settings(&self.directory), Arc::clone(&self.clock));
        open(self.backend, &settings, self.redis.as_ref(), clock).await
    }

    /// Opens the same store with a clock that is behind.
    pub(crate) async fn another_behind(&self, by: Duration) -> Stores {
        let behind = i64::try_from(by.as_millis()).unwrap();
        let now = Timestamp::from_millis(self.now().as_millis() - behind);
        let clock = Arc::new(ManualClock::starting_at(now));
        let redis = self.redis.as_ref().map(|it| {
            let topology = it.redis.topology.clone();
            let mut settings = store_settings(topology, Arc::clone(&clock));
            self.prefix().clone_into(&mut settings.redis.key_prefix);
            settings
        });
        let settings = settings(&self.directory);
        open(self.backend, &settings, redis.as_ref(), clock).await
    }

    /// Returns all keys of this world on all its Redis servers, except the key that names the deployment.
    pub(crate) fn keys(&self) -> Vec<String> {
        let pattern = format!("*{}*", self.prefix());
        let servers = match &self.redis.as_ref().unwrap().redis.topology {
            RedisTopology::Cluster { nodes } => nodes.clone(),
            RedisTopology::Standalone { server, .. } => vec![server.clone()],
            RedisTopology::Sentinel { .. } => panic!("there is no world with Sentinels"),
        };
        let keys = |server: &RedisAddress| Wire::connect(server.port).unwrap().scan(&pattern);
        let all = servers.iter().flat_map(keys);
        all.filter(|key| !key.ends_with(":deployment")).collect()
    }

    /// Returns the prefix of all keys in Redis, inside their hash tag.
    pub(crate) fn prefix(&self) -> &str {
        &self.redis.as_ref().unwrap().redis.key_prefix
    }

    /// Returns the path of an SQLite store.
    pub(crate) fn file(&self) -> PathBuf {
        settings(&self.directory).path
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Starts a session with the values of [`new_session`].
    pub(crate) async fn start(&self, user: UserId, role: Role) -> SessionRecord {
        let created = self.stores.sessions.create(new_session(user, role), 100);
        created.await.unwrap().0
    }

    pub(crate) async fn end(&self, session: &SessionRecord) -> Option<Ended> {
        let sessions = &self.stores.sessions;
        sessions.end(&session.id, EndReason::Logout).await.unwrap()
    }

    pub(crate) async fn census(&self) -> Census {
        self.stores.sessions.census().await.unwrap()
    }

    /// Adds an account.
    pub(crate) async fn add(&self, name: &str, role: Role) -> User {
        self.stores
            .accounts
            .add(new_account(name, role))
            .await
            .unwrap()
    }
}

fn settings(directory: &TempDir) -> SqliteSettings {
    SqliteSettings {
        path: directory.path().join("data").join("store.db"),
        timeout: LONG_TIMEOUT,
    }
}

async fn open(
    backend: Backend,
    settings: &SqliteSettings,
    redis: Option<&RedisStoreSettings>,
    clock: Arc<ManualClock>,
) -> Stores {
    let metrics = match backend {
        Backend::SqliteObservedAndCached => Some(unread_metrics(Arc::clone(&clock))),
        Backend::Sqlite | Backend::Redis | Backend::RedisCluster => None,
    };
    open_with(settings, redis, clock, metrics).await.unwrap()
}

/// Each world has its own prefix, so that tests can share a server.
fn store_settings(topology: RedisTopology, clock: Arc<ManualClock>) -> RedisStoreSettings {
    let prefix = format!("test-{:016x}", rand::random::<u64>());
    RedisStoreSettings {
        redis: RedisSettings {
            connect_timeout: LONG_TIMEOUT,
            ..redis_settings(topology, &prefix)
        },
        timeout: LONG_TIMEOUT,
        clock: StoreClock::Given(clock),
    }
}

/// Creates metrics that are never read.
fn unread_metrics(clock: Arc<ManualClock>) -> StoreMetrics {
    let meter = SdkMeterProvider::builder().build().meter("test");
    StoreMetrics::new(&meter, clock)
}

/// Returns the end of `session` with its initial role.
pub(crate) fn ended(session: &SessionRecord, reason: EndReason, lasted: Duration) -> Ended {
    Ended {
        id: session.id.clone(),
        user_id: session.user_id,
        role: session.role,
        reason,
        lasted,
    }
}

/// The profile of every new account.
pub(crate) fn profile() -> Profile {
    Profile {
        display_name: Some("Ada <b>Lovelace</b>".parse().unwrap()),
        email: Some("ada@example.org".parse().unwrap()),
    }
}

pub(crate) fn new_account(username: &str, role: Role) -> NewAccount {
    NewAccount {
        username: name(username),
        role,
        profile: profile(),
        password_hash: format!("hash of {username}").into(),
    }
}

/// Returns a service to register, with all optional values.
pub(crate) fn new_service(id: &str) -> NewService {
    NewService {
        id: service_id(id),
        description: format!("what {id} is"),
        scopes: vec!["orders:read".parse().unwrap(), "stock".parse().unwrap()],
        limits: LimitPolicy {
            interval: Duration::from_micros(1_500),
            burst: 100,
            daily_quota: Some(1_000_000),
        },
        secret: ClientSecret::generate().digest(),
        secret_expires_at: None,
        public_keys: Some(r#"{"keys":[]}"#.into()),
    }
}

/// Returns a distinct registration for each of these short texts.
pub(crate) fn registration(of: &str) -> Uuid {
    let text = format!("{of:_<16}");
    Uuid::from_slice(&text.as_bytes()[..16]).unwrap()
}

pub(crate) fn service_id(text: &str) -> ServiceId {
    text.parse().unwrap()
}

pub(crate) fn name(text: &str) -> Username {
    text.parse().unwrap()
}

pub(crate) const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
