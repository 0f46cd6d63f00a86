//! A connection that passed the checks.

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
use crate::RedisAddress;
use skriptoteket_core::clock::{Clock, SystemClock};

/// Creates further connections to the same server.
#[async_trait]
pub(super) trait Origin: Send + Sync {
    /// Creates another connection, driven by the runtime of the caller; `None` if that fails.
    async fn another(&self) -> Option<MultiplexedConnection>;

    /// Timeout for creating a connection, and for a health check.
    fn time_limit(&self) -> Duration;
}

/// How many calls wait for a replica at a time. They share a connection, so the last one waits as long as all of them
/// together: few enough to stay within the store timeout, even if the replica has stopped.
const TURNS: usize = 2;

/// How long no call waits for a replica that did not confirm in time.
const RESPITE: Duration = Duration::from_secs(1);

/// After this time without a reply, a connection may have been closed without notice.
const QUIET: Duration = Duration::from_millis(10);

/// A checked connection to one server.
pub(super) struct CheckedConnection {
    pub(super) address: RedisAddress,
    /// Shared by all calls.
    pub(super) shared: MultiplexedConnection,
    /// For calls that wait for a replica: `WAIT` blocks all later commands on its connection.
    pub(super) durable: MultiplexedConnection,
    has_replica: AtomicBool,
    /// Creates further connections to the server.
    pub(super) origin: Box<dyn Origin>,
    turns: Semaphore,
    /// When (monotonic) a replica did not confirm in time.
    lagged_at: Mutex<Option<Duration>>,
    /// When (monotonic, in µs) the last reply arrived.
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

    /// Records that the server has replied.
    pub(super) fn answered(&self) {
        self.answered_at.store(self.micros(), Ordering::Relaxed);
    }

    /// True if the server has not replied for a while because nothing was sent.
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

    /// Reserves a turn to wait for a replica on the durable connection. `None` if the replica did not confirm in time a
    /// moment ago: waiting for it would delay the other calls without effect.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        if self.lags() {
            return None;
        }
        let turn = self.turns.acquire().await.ok()?;
        // The previous calls may have found that out in the meantime.
        (!self.lags()).then_some(turn)
    }

    /// Records that no replica has confirmed in time.
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

    /// Checks both connections, and whether the server is still a master.
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
