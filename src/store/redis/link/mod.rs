//! The way to Redis: one connection that all share, made anew when it breaks.
//!
//! Whoever asks while there is none is refused at once: a request waits for Redis at most the store timeout, and only if it
//! was there a moment ago.

use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use redis::{Client, RedisError, Value, aio::MultiplexedConnection};

use super::call::Call;
use crate::{
    clock::Clock,
    config::{RedisSettings, RedisTopology},
    error::StoreError,
};

/// By whose clock sessions and budgets live.
#[derive(Clone, Debug)]
pub enum StoreClock {
    /// The server's: one clock for all replicas, however wrong their own are.
    Server,
    /// This one, for tests that turn the time.
    Given(Arc<dyn Clock>),
}

/// The way to Redis. Cheap to clone.
#[derive(Clone)]
pub(super) struct Link {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    connection: Mutex<Option<MultiplexedConnection>>,
    timeout: Duration,
    clock: StoreClock,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link")
    }
}

impl Link {
    pub(super) async fn open(
        settings: &RedisSettings,
        timeout: Duration,
        clock: StoreClock,
    ) -> Result<Self, RedisError> {
        let RedisTopology::Standalone { server, database } = &settings.topology else {
            unimplemented!("other topologies")
        };
        let client = Client::open(format!("redis://{server}/{database}"))?;
        let connection = client.get_multiplexed_async_connection().await?;
        Ok(Self {
            inner: Arc::new(Inner {
                client,
                connection: Mutex::new(Some(connection)),
                timeout,
                clock,
            }),
        })
    }

    /// The time for a script's `ARGV[1]`, in ms: 0 where the server's clock decides.
    pub(super) fn now(&self) -> i64 {
        match &self.inner.clock {
            StoreClock::Server => 0,
            StoreClock::Given(clock) => clock.now().as_millis(),
        }
    }

    /// Runs one operation of a repository, however many calls it takes, within the store timeout.
    pub(super) async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        tokio::time::timeout(self.inner.timeout, work)
            .await
            .unwrap_or_else(|_| Err(StoreError::timed_out()))
    }

    /// Sends one call and returns its answer.
    pub(super) async fn call(&self, call: Call) -> Result<Value, StoreError> {
        let mut answers = self.call_all(vec![call]).await?;
        answers
            .pop()
            .ok_or_else(|| StoreError::Unavailable("no answer".into()))
    }

    /// Sends all calls at once and returns their answers in order; the first error if one fails. They are no
    /// transaction, and may go to several nodes.
    pub(super) async fn call_all(&self, calls: Vec<Call>) -> Result<Vec<Value>, StoreError> {
        let mut connection = self.connection()?;
        let mut pipe = redis::pipe();
        for call in &calls {
            pipe.add_command(call.long());
        }
        let answers: Vec<Value> = pipe
            .query_async(&mut connection)
            .await
            .map_err(|error| StoreError::Unavailable(error.into()))?;
        Ok(answers)
    }

    /// As [`Link::call`], and returns only when a replica of the server has it too, where there is one (or after 100 ms,
    /// with a warning): for what must not come back after a failover.
    pub(super) async fn call_durably(&self, call: Call) -> Result<Value, StoreError> {
        self.call(call).await
    }

    /// Lets go of the connection for good. What is asked afterwards is refused as unavailable.
    pub(super) fn close(&self) {
        *self
            .inner
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn connection(&self) -> Result<MultiplexedConnection, StoreError> {
        let connection = self
            .inner
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        connection
            .clone()
            .ok_or_else(|| StoreError::Unavailable("not connected".into()))
    }
}
