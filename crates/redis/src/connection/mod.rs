//! The connection to Redis: one connection to each server, shared by all callers and recreated when it breaks.
//!
//! Calls are rejected at once while there is no connection: a request waits for Redis at most the store timeout, and
//! only if Redis was available a moment ago. If a connection breaks with calls in flight, the calls that are safe to
//! run twice are sent once more, as soon as there is a new connection; the others are not, because they may have been
//! executed.
//!
//! | file | what is in it |
//! |---|---|
//! | `connect` | creates a connection: TLS, the login, the checks |
//! | `handshake` | authentication, and why a server rejects us |
//! | `sentinel` | the master that Sentinels report |
//! | `diagnosis` | why connecting failed: TLS or not, not Redis at all |
//! | `checks` | the requirements on a server |
//! | `checked` | a connection that passed the checks |
//! | `managed` | one connection: kept, lost, recreated |
//! | `per_worker` | an additional connection for each worker |
//! | `cluster` | the masters of a Cluster, and the owners of the slots |
//! | `slots` | the slot of a key |
//! | `target` | the target of a connection |
//! | `batching` | combines simultaneous reads into one command |
//! | `dispatch` | sends calls, in one pipeline for each server |
//! | `outcome` | what a reply means: redirections, temporary rejections |
//! | `node` | commands to one server, for example a scan of its keys |
//! | `tls`, `no_tls` | TLS to Redis, or its absence |
//! | `fault` | why Redis cannot be used, as texts for the operator |

mod batching;
mod checked;
mod checks;
mod cluster;
mod connect;
mod diagnosis;
mod dispatch;
mod fault;
mod handshake;
mod managed;
#[cfg(not(feature = "tls"))]
mod no_tls;
mod node;
mod outcome;
mod per_worker;
mod sentinel;
mod slots;
mod target;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
mod tls;

use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

#[cfg(not(feature = "tls"))]
use self::no_tls as tls;
use futures_util::future::join_all;
use redis::Value;
use tokio::{sync::Notify, task_local, time::timeout};

use self::{
    cluster::Cluster,
    connect::Dialer,
    dispatch::Lane,
    fault::{ConnectError, Unavailable},
    managed::ManagedConnection,
    slots::slot_of,
    target::Target,
};
use super::{call::Call, keys::Keys};
use crate::{RedisAddress, RedisSettings, RedisTopology};
use skriptoteket_core::{
    clock::{Clock, SystemClock},
    error::StoreError,
};

pub use fault::RedisFault;
pub(super) use node::SCAN_START;

/// The clock of sessions and login throttling.
#[derive(Clone, Debug)]
pub enum StoreClock {
    /// The server's clock: one clock for all replicas, however wrong their own are.
    Server,
    /// This clock, for tests that set the time.
    Given(Arc<dyn Clock>),
}

/// Lifetime of the key that is written to check that writes are accepted, in ms.
const PROBE_MS: u32 = 10_000;

/// Minimum interval between two warnings that replicas lag.
const WARN_AGAIN: Duration = Duration::from_mins(1);

task_local! {
    /// Deadline of the current operation, by the clock of the connection.
    static DEADLINE: Duration;
}

/// The connection to Redis. Cheap to clone. Its tasks end with the last clone.
#[derive(Clone)]
pub(super) struct Connection {
    inner: Arc<Inner>,
}

struct Inner {
    way: Way,
    keys: Keys,
    timeout: Duration,
    /// The clock of the sessions.
    store_clock: StoreClock,
    /// The clock for timeouts.
    clock: SystemClock,
    warned_of_lag: Mutex<Option<Duration>>,
}

enum Way {
    Single(Arc<ManagedConnection>),
    Cluster(Cluster),
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

impl Connection {
    /// Connects. If no server is available, this continues in the background, and until then calls report why they are
    /// rejected. With a `deployment`, a server whose keys belong to another one is a fault.
    ///
    /// # Errors
    ///
    /// [`RedisFault`]: the server or the configuration does not meet the requirements.
    pub(super) async fn open(
        settings: &RedisSettings,
        timeout: Duration,
        clock: StoreClock,
        deployment: Option<String>,
    ) -> Result<Self, RedisFault> {
        let compares_clocks = matches!(clock, StoreClock::Server);
        let dialer = Arc::new(Dialer::new(settings, compares_clocks, deployment)?);
        let connection = Self {
            inner: Arc::new(Inner {
                way: Way::open(dialer, &settings.topology).await,
                keys: Keys::new(settings.key_prefix.clone()),
                timeout,
                store_clock: clock,
                clock: SystemClock::default(),
                warned_of_lag: Mutex::new(None),
            }),
        };
        match connection.first_attempts().await {
            Err(Unavailable::Fault(fault)) => Err(fault),
            Ok(()) | Err(Unavailable::Disconnected { .. }) => Ok(connection),
        }
    }

    /// The time for a script's `ARGV[1]`, in ms: 0 if the server's clock is used.
    pub(super) fn now(&self) -> i64 {
        match &self.inner.store_clock {
            StoreClock::Server => 0,
            StoreClock::Given(clock) => clock.now().as_millis(),
        }
    }

    /// Runs one operation of a repository, however many calls it makes, within the store timeout.
    pub(super) async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let deadline = self.inner.clock.monotonic() + self.inner.timeout;
        DEADLINE
            .scope(deadline, timeout(self.inner.timeout, work))
            .await
            .unwrap_or_else(|_| Err(StoreError::timed_out()))
    }

    /// Reads one key in a batch with the other reads of this worker at the same moment; returns the value and then the
    /// server's time, in ms. Returns `None` if that fails for any reason: a single call reports the reason.
    pub(super) async fn read_together(&self, key: String) -> Option<(Value, i64)> {
        match &self.inner.way {
            Way::Single(managed) => batching::read(managed, key, self.inner.timeout).await,
            Way::Cluster(_) => None,
        }
    }

    /// Sends one call and returns its reply.
    pub(super) async fn call(&self, call: Call) -> Result<Value, StoreError> {
        the_only(self.send(vec![call], Lane::Shared).await?)
    }

    /// Sends all calls at once and returns their replies in order; the first error if one fails. The calls are not a
    /// transaction, and may go to several nodes.
    pub(super) async fn call_all(&self, calls: Vec<Call>) -> Result<Vec<Value>, StoreError> {
        self.send(calls, Lane::Shared).await
    }

    /// Like [`Connection::call`], but returns only after a replica of the server has the write too, if there is a
    /// replica: for changes that a failover must not undo. Waits at most 100 ms, and not at all for a while after a
    /// wait timed out; logs a warning in both cases.
    pub(super) async fn call_durably(&self, call: Call) -> Result<Value, StoreError> {
        the_only(self.send(vec![call], Lane::Durable).await?)
    }

    /// Checks that every master with sessions accepts writes.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`], with the reason as a text for operators, without secrets.
    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        self.call_all(self.probes()?).await.map(drop)
    }

    /// Gives up the connection to the server that has this key, because the keys belong to another deployment. The
    /// checks of the next connection report that.
    pub(super) fn disown(&self, key: &str) {
        let managed = match &self.inner.way {
            Way::Single(managed) => Arc::clone(managed),
            Way::Cluster(cluster) => match cluster.owner(slot_of(key)) {
                Ok(managed) => managed,
                Err(_) => return,
            },
        };
        if let Some(checked) = managed.checked_now() {
            managed.lose(&checked, ConnectError::Foreign);
        }
    }

    /// Closes the connections permanently. Later calls are rejected as unavailable.
    pub(super) fn close(&self) {
        match &self.inner.way {
            Way::Single(managed) => managed.close(),
            Way::Cluster(cluster) => cluster.close(),
        }
    }

    async fn send(&self, calls: Vec<Call>, lane: Lane) -> Result<Vec<Value>, StoreError> {
        if let Ok(deadline) = DEADLINE.try_with(|deadline| *deadline) {
            return dispatch::send(&self.inner, &calls, lane, deadline).await;
        }
        let deadline = self.inner.clock.monotonic() + self.inner.timeout;
        let work = dispatch::send(&self.inner, &calls, lane, deadline);
        self.in_time(work).await
    }

    /// Waits for the first attempt to connect to each server, whatever its outcome.
    async fn first_attempts(&self) -> Result<(), Unavailable> {
        let cluster = match &self.inner.way {
            Way::Single(managed) => return managed.checked().await.map(drop),
            Way::Cluster(cluster) => cluster,
        };
        let attempts = join_all(
            cluster
                .masters()?
                .into_iter()
                .map(|node| async move { cluster.managed(&node)?.checked().await.map(drop) }),
        );
        let failures = attempts.await.into_iter().filter_map(Result::err);
        // A fault is more specific than a server that is unreachable.
        let worst = failures.max_by_key(|unavailable| matches!(unavailable, Unavailable::Fault(_)));
        worst.map_or(Ok(()), Err)
    }

    /// Returns one write for each server: to a shard that it has.
    fn probes(&self) -> Result<Vec<Call>, Unavailable> {
        let mut servers = Vec::new();
        let mut probes = Vec::new();
        for shard in self.inner.keys.shards() {
            let key = shard.probe();
            let server = match &self.inner.way {
                Way::Single(managed) => Arc::as_ptr(managed),
                Way::Cluster(cluster) => Arc::as_ptr(&cluster.owner(slot_of(&key))?),
            };
            if !servers.contains(&server) {
                servers.push(server);
                probes.push(
                    Call::command("SET", vec![key])
                        .arg(1)
                        .arg("PX")
                        .arg(PROBE_MS),
                );
            }
        }
        Ok(probes)
    }
}

impl Inner {
    /// Warns that no replica has confirmed in time, at a limited rate.
    fn warn_of_lag(&self, server: &RedisAddress) {
        let now = self.clock.monotonic();
        let mut warned = self
            .warned_of_lag
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|at| now.saturating_sub(at) >= WARN_AGAIN) {
            *warned = Some(now);
            tracing::warn!(
                server = %server,
                "no replica of Redis has confirmed a write in time: a failover now could undo it"
            );
        }
    }
}

impl Way {
    async fn open(dialer: Arc<Dialer>, topology: &RedisTopology) -> Self {
        let target = match topology.clone() {
            RedisTopology::Cluster { nodes } => {
                return Self::Cluster(Cluster::open(dialer, nodes).await);
            }
            RedisTopology::Standalone { server, database } => Target::Server { server, database },
            RedisTopology::Sentinel {
                sentinels,
                master,
                database,
            } => Target::Master {
                sentinels,
                name: master,
                database,
            },
        };
        let nobody = Arc::new(Notify::new());
        Self::Single(Arc::new(ManagedConnection::open(dialer, target, nobody)))
    }
}

fn the_only(mut answers: Vec<Value>) -> Result<Value, StoreError> {
    answers
        .pop()
        .ok_or_else(|| StoreError::Unavailable("no answer".into()))
}
