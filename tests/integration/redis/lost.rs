//! Data loss in a session store, and the exported totals: none decreases, and lost sessions are reported.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use skriptoteket::{
    accounts::{Role, UserId},
    catalogue::CATALOGUE,
    clock::{Clock, SystemClock},
    sessions::{
        EndReason, SessionRecord,
        census::{CensusPace, CensusTaker},
    },
    store::{RedisStoreSettings, SqliteSettings, StoreClock, Stores, open_with},
    telemetry::{Telemetry, testing::CollectedMetrics},
};
use skriptoteket_testing::{
    parts::census_taker, proxy::Proxy, redis::RedisServer, stores::new_session, wait::wait_until,
};

use crate::redis::harness::{TIMEOUT, on_port};

/// The exported values, by name and labels.
type Exported = BTreeMap<(&'static str, &'static str), u64>;

/// A replica that is the observer, and its exports.
struct Observer {
    stores: Stores,
    census: CensusTaker,
    metrics: CollectedMetrics,
    _telemetry: Telemetry,
}

impl Observer {
    /// Opens an observer of the sessions in the Redis on port `redis`, or in the embedded store, with its data in `directory`.
    async fn open(directory: &Path, redis: Option<u16>) -> Self {
        let sqlite = SqliteSettings {
            path: directory.join("store.db"),
            timeout: Duration::from_secs(10),
        };
        let redis = redis.map(|port| RedisStoreSettings {
            redis: on_port(port),
            timeout: TIMEOUT,
            clock: StoreClock::Server,
        });
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let stores = open_with(&sqlite, redis.as_ref(), Arc::clone(&clock), None);
        let stores = stores.await.unwrap();
        let (telemetry, metrics) = Telemetry::in_memory(CATALOGUE);
        let pace = CensusPace {
            interval: Duration::from_mins(1),
            timeout: Duration::from_secs(10),
        };
        let census = census_taker(&stores, &telemetry, &clock, pace);
        Self {
            stores,
            census,
            metrics,
            _telemetry: telemetry,
        }
    }

    async fn start(&self, n: usize) -> Vec<SessionRecord> {
        let mut started = Vec::new();
        for _ in 0..n {
            let session = new_session(UserId::generate(), Role::User);
            let created = self.stores.sessions.create(session, 100).await;
            started.push(created.unwrap().0);
        }
        started
    }

    async fn log_out(&self, sessions: &[SessionRecord]) {
        for session in sessions {
            let ended = self.stores.sessions.end(&session.id, EndReason::Logout);
            assert!(ended.await.unwrap().is_some());
        }
    }

    /// Waits until the store is available, takes a census, and returns the exported values: none is lower than in
    /// `before`, and started − ended = live.
    async fn count_after(&self, before: &Exported) -> Exported {
        for _ in 0..500 {
            if self.census.take().await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let census = self.stores.sessions.census().await.unwrap();
        let mut exported = Exported::new();
        for (at, role) in Role::NAMES.into_iter().enumerate() {
            let of_role = [("role", role)];
            let started = self
                .metrics
                .counter("skriptoteket.sessions_started", &of_role);
            exported.insert(("started", role), started.unwrap());
            let mut ended = 0;
            for reason in EndReason::NAMES {
                let labels = [("role", role), ("reason", reason)];
                let count = self.metrics.counter("skriptoteket.sessions_ended", &labels);
                ended += count.unwrap();
                if role == Role::NAMES[0] {
                    exported.insert(("ended", reason), count.unwrap());
                }
            }
            let held = census.sessions[at] + census.expired[at];
            assert_eq!(started.unwrap() - ended, held, "{role}");
        }
        for (series, value) in before {
            assert!(
                exported[series] >= *value,
                "{series:?}: {value} to {exported:?}"
            );
        }
        exported
    }

    async fn count(&self) -> Exported {
        self.count_after(&Exported::new()).await
    }
}

/// Returns the numbers of started, logged-out and lost sessions.
fn told(exported: &Exported) -> [u64; 3] {
    [
        ("started", Role::User.as_str()),
        ("ended", EndReason::Logout.as_str()),
        ("ended", EndReason::Lost.as_str()),
    ]
    .map(|series| exported[&series])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failover_to_a_replica_that_is_behind_no_total_falls_and_the_lost_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let master = RedisServer::start(&[]);
    let replica = RedisServer::start_replica(&master, &[]);
    let proxy = Proxy::to(master.port());
    let observer = Observer::open(directory.path(), Some(proxy.port())).await;
    let first = observer.start(30).await;
    observer.log_out(&first[..5]).await;
    wait_until("the replica has all writes", || {
        master.is_acknowledged_by(replica.port())
    });
    // From here on the replica lags behind.
    replica.wire().ask(&["REPLICAOF", "NO", "ONE"]);
    observer.start(12).await;
    observer.log_out(&first[5..9]).await;
    let before = observer.count().await;
    assert_eq!(told(&before), [42, 9, 0]);

    drop(master);
    proxy.lead_to(replica.port());
    for _ in 0..500 {
        if observer.stores.sessions.ping().await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // More sessions than were lost have started before the first census, so the sums have not decreased.
    observer.start(15).await;
    let after = observer.count_after(&before).await;
    // Four sessions that had been logged out are live again.
    assert_eq!(told(&after), [42 + 15 + 4, 9, 12]);
    observer.start(1).await;
    assert_eq!(told(&observer.count_after(&after).await), [62, 9, 12]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_got_another_id_in_the_forgotten_time_is_neither_lost_nor_restored() {
    let directory = tempfile::tempdir().unwrap();
    let master = RedisServer::start(&[]);
    let replica = RedisServer::start_replica(&master, &[]);
    let proxy = Proxy::to(master.port());
    let observer = Observer::open(directory.path(), Some(proxy.port())).await;
    let sessions = &observer.stores.sessions;
    let kept = observer.start(4).await;
    wait_until("the replica has all writes", || {
        master.is_acknowledged_by(replica.port())
    });
    replica.wire().ask(&["REPLICAOF", "NO", "ONE"]);
    // For each session that stays, another one starts and ends; both are renewed once.
    for kept in &kept {
        let user = kept.user_id;
        let (passing, _) = sessions
            .create(new_session(user, Role::User), 100)
            .await
            .unwrap();
        for session in [kept, &passing] {
            let new = new_session(user, Role::User).id;
            let renewed = sessions.renew(&session.id, user, &new).await.unwrap();
            if session.id == passing.id {
                observer.log_out(&[renewed.unwrap()]).await;
            }
        }
    }
    let before = observer.count().await;
    assert_eq!(told(&before), [8, 4, 0]);
    drop(master);
    proxy.lead_to(replica.port());
    let after = observer.count_after(&before).await;
    assert_eq!(told(&after), [8, 4, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_older_file_of_redis_no_total_falls_for_whoever_observes_then() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let observer = Observer::open(directory.path(), Some(server.port())).await;
    let first = observer.start(20).await;
    let [files, backup] = ["appendonlydir", "backup"].map(|it| server.directory().join(it));
    copy(&files, &backup);
    observer.start(8).await;
    observer.log_out(&first[..3]).await;
    let before = observer.count().await;
    assert_eq!(told(&before), [28, 3, 0]);
    observer.stores.close().await;
    server.kill();
    fs::remove_dir_all(&files).unwrap();
    copy(&backup, &files);
    server.restart();
    // Another process, as after a restart of all components.
    let observer = Observer::open(directory.path(), Some(server.port())).await;
    let after = observer.count_after(&before).await;
    assert_eq!(told(&after), [28 + 3, 3, 8]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_emptied_is_told_also_if_all_log_in_again_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let server = RedisServer::start(&[]);
    let observer = Observer::open(directory.path(), Some(server.port())).await;
    observer.start(25).await;
    let before = observer.count().await;
    server.wire().ask(&["FLUSHALL"]);
    let again = observer.start(25).await;
    let after = observer.count_after(&before).await;
    assert_eq!(told(&after), [50, 0, 25]);
    observer.log_out(&again[..5]).await;
    // The store is empty, and no user logs in.
    server.wire().ask(&["FLUSHALL"]);
    let after = observer.count_after(&after).await;
    // The five logouts happened between two censuses, and no record of them is left.
    assert_eq!(told(&after), [50, 0, 50]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_in_another_redis_add_to_what_was_exported_before() {
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (RedisServer::start(&[]), RedisServer::start(&[]));
    let observer = Observer::open(directory.path(), Some(one.port())).await;
    observer.start(6).await;
    let before = observer.count().await;
    observer.census.resign().await.unwrap();
    observer.stores.close().await;
    let observer = Observer::open(directory.path(), Some(other.port())).await;
    let moved = observer.count_after(&before).await;
    assert_eq!(told(&moved), [6, 0, 6]);
    observer.start(2).await;
    let moved = observer.count_after(&moved).await;
    assert_eq!(told(&moved), [8, 0, 6]);
    observer.stores.close().await;
    // The observer uses the first Redis again: its six sessions are still live.
    let observer = Observer::open(directory.path(), Some(one.port())).await;
    assert_eq!(told(&observer.count_after(&moved).await), [14, 0, 8]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_observe_by_turns_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let server = RedisServer::start(&[]);
    let replicas = [
        Observer::open(directory.path(), Some(server.port())).await,
        Observer::open(directory.path(), Some(server.port())).await,
    ];
    let mut before = Exported::new();
    for turn in 0..10 {
        let observer = &replicas[turn % 2];
        observer.log_out(&observer.start(3).await[..1]).await;
        before = observer.count_after(&before).await;
        observer.census.resign().await.unwrap();
    }
    assert_eq!(told(&before), [30, 10, 0]);
    server.wire().ask(&["FLUSHALL"]);
    for observer in replicas.iter().cycle().take(4) {
        before = observer.count_after(&before).await;
        observer.census.resign().await.unwrap();
    }
    assert_eq!(told(&before), [30, 10, 20]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_older_copy_of_the_embedded_store_no_total_falls() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("store.db");
    let backup = directory.path().join("backup.db");
    let observer = Observer::open(directory.path(), None).await;
    let first = observer.start(9).await;
    observer.stores.close().await;
    fs::copy(&file, &backup).unwrap();
    let observer = Observer::open(directory.path(), None).await;
    observer.start(4).await;
    observer.log_out(&first[..2]).await;
    let before = observer.count().await;
    observer.stores.close().await;
    fs::copy(&backup, &file).unwrap();
    let observer = Observer::open(directory.path(), None).await;
    assert_eq!(told(&observer.count_after(&before).await), [13 + 2, 2, 4]);
}

/// Copies a directory without subdirectories.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}
