//! A connection that was made and checked, as calls use it.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{checks::Replication, fault::ConnectError};
use crate::{
    clock::{Clock, SystemClock},
    store::RedisAddress,
};

/// Who makes another connection to the same server.
#[async_trait]
pub(super) trait Origin: Send + Sync {
    /// One more connection, driven by the runtime that asks; `None` if it cannot be had.
    async fn another(&self) -> Option<MultiplexedConnection>;

    /// How long a connection may take, and a sign of life.
    fn time_limit(&self) -> Duration;
}

/// How many calls wait for a replica at a time. They share a connection, so the last one waits as long as all of them
/// together: few enough to stay within the store timeout, should the replica have stopped.
const TURNS: usize = 2;

/// For how long nobody waits for a replica that did not confirm in time.
const RESPITE: Duration = Duration::from_secs(1);

/// After this time without an answer a connection may have been closed without our knowledge.
const QUIET: Duration = Duration::from_millis(10);

/// A checked connection to one server.
pub(super) struct CheckedConnection {
    pub(super) address: RedisAddress,
    /// What all calls share.
    pub(super) shared: MultiplexedConnection,
    /// For calls that wait for a replica: `WAIT` holds up all that comes behind it.
    pub(super) durable: MultiplexedConnection,
    has_replica: AtomicBool,
    /// Where it comes from.
    pub(super) origin: Box<dyn Origin>,
    turns: Semaphore,
    /// When (monotonic) a replica did not confirm in time.
    lagged_at: Mutex<Option<Duration>>,
    /// When (monotonic, in µs) the last answer came.
    answered_at: AtomicU64,
    clock: SystemClock,
}

impl CheckedConnection {
    pub(super) fn new(
        address: RedisAddress,
        origin: Box<dyn Origin>,
        shared: MultiplexedConnection,
        durable: MultiplexedConnection,
        replication: Replication,
    ) -> Self {
        Self {
            address,
            origin,
            shared,
            durable,
            has_replica: AtomicBool::new(replication.has_replica),
            turns: Semaphore::new(TURNS),
            lagged_at: Mutex::new(None),
            answered_at: AtomicU64::new(0),
            clock: SystemClock::default(),
        }
    }

    /// Notes that the server has answered.
    pub(super) fn answered(&self) {
        self.answered_at.store(self.micros(), Ordering::Relaxed);
    }

    /// True if the server has not answered for a while, as nobody asked it.
    pub(super) fn is_quiet(&self) -> bool {
        let last = self.answered_at.load(Ordering::Relaxed);
        let quiet = u64::try_from(QUIET.as_micros()).unwrap_or(u64::MAX);
        self.micros().saturating_sub(last) >= quiet
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.clock.monotonic().as_micros()).unwrap_or(u64::MAX)
    }

    pub(super) fn has_replica(&self) -> bool {
        self.has_replica.load(Ordering::Relaxed)
    }

    /// A turn to wait for a replica on the connection for that. None where it did not confirm in time a moment ago: who
    /// waited for it then would hold up the others, for nothing.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        if self.lags() {
            return None;
        }
        let turn = self.turns.acquire().await.ok()?;
        // Those before may have found out meanwhile.
        (!self.lags()).then_some(turn)
    }

    /// Notes that no replica has confirmed in time.
    pub(super) fn lagged(&self) {
        *self.lagged_at() = Some(self.clock.monotonic());
    }

    fn lags(&self) -> bool {
        let now = self.clock.monotonic();
        self.lagged_at()
            .is_some_and(|at| now.saturating_sub(at) < RESPITE)
    }

    fn lagged_at(&self) -> MutexGuard<'_, Option<Duration>> {
        let lagged_at = self.lagged_at.lock();
        lagged_at.unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks both connections for a sign of life, and whether the server is still a master.
    pub(super) async fn look(&self) -> Result<(), ConnectError> {
        let (mut shared, mut durable) = (self.shared.clone(), self.durable.clone());
        let mut info = redis::cmd("INFO");
        info.arg("replication");
        let ping = redis::cmd("PING");
        let (replication, alive) = tokio::join!(
            shared.send_packed_command(&info),
            durable.send_packed_command(&ping)
        );
        alive.map_err(ConnectError::Broken)?;
        let replication = Replication::read(&replication.map_err(ConnectError::Broken)?);
        if replication.is_replica {
            return Err(ConnectError::Replica);
        }
        self.has_replica
            .store(replication.has_replica, Ordering::Relaxed);
        Ok(())
    }
}
