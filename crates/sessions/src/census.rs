//! The census: counts sessions periodically and keeps the count in memory for the gauges.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use tokio::sync::Notify;
use uuid::Uuid;

use super::{
    Census, Lease, LedgerRepository, ObserverLease, SessionGauges, SessionRepository,
    bookkeeping::Bookkeeper,
};
use skriptoteket_core::{clock::Clock, error::StoreError, observer_state::ObserverState};

/// Minimum time between two counts, however many sessions start and end.
const LEAST_PAUSE: Duration = Duration::from_millis(250);

const SHORTEST_LEASE: Duration = Duration::from_secs(1);
const LONGEST_LEASE: Duration = Duration::from_secs(20);

/// Requests a count soon; given to the code that starts and ends sessions.
#[derive(Clone, Debug, Default)]
pub struct CensusBell(Arc<Notify>);

impl CensusBell {
    /// Signals that sessions have changed. Costs one atomic operation.
    pub fn ring(&self) {
        self.0.notify_one();
    }
}

/// How often sessions are counted, and the timeout of a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CensusPace {
    /// Time between two counts.
    pub interval: Duration,
    /// A response that takes longer counts as a failure.
    pub timeout: Duration,
}

impl CensusPace {
    /// Returns the duration of the lease; it is renewed three times as often.
    ///
    /// Half the interval: if a replica dies, another one takes over within a third more than that, and so before the
    /// next count is due. The duration is capped for long intervals, so that a takeover does not take long, and has a
    /// minimum for short intervals, because the store may take a moment to respond.
    #[must_use]
    pub fn lease(&self) -> Duration {
        (self.interval / 2).clamp(SHORTEST_LEASE, LONGEST_LEASE)
    }
}

/// Refreshes the snapshot that the session gauges read, while this replica is the observer.
pub struct CensusTaker {
    books: Bookkeeper,
    observer: Arc<dyn ObserverLease>,
    service: Uuid,
    gauges: SessionGauges,
    state: ObserverState,
    clock: Arc<dyn Clock>,
    pace: CensusPace,
    bell: CensusBell,
    /// Signals that this replica has become the observer.
    started_at: Notify,
}

impl fmt::Debug for CensusTaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CensusTaker")
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}

impl CensusTaker {
    /// Creates the census. It counts `sessions` into `gauges`, with the totals that `ledger` exports, while
    /// `observer` confirms that this replica is the observer of `service`.
    #[must_use]
    pub fn new(
        sessions: Arc<dyn SessionRepository>,
        ledger: Arc<dyn LedgerRepository>,
        observer: Arc<dyn ObserverLease>,
        service: Uuid,
        gauges: SessionGauges,
        clock: Arc<dyn Clock>,
        pace: CensusPace,
    ) -> Self {
        Self {
            books: Bookkeeper::new(sessions, ledger, pace.timeout),
            observer,
            service,
            state: gauges.observer().clone(),
            gauges,
            clock,
            pace,
            bell: CensusBell::default(),
            started_at: Notify::new(),
        }
    }

    /// Returns the handle that makes [`CensusTaker::run`] count before its interval is over. It has no effect while
    /// another replica is the observer.
    #[must_use]
    pub fn bell(&self) -> CensusBell {
        self.bell.clone()
    }

    /// Acquires or renews the lease. If this replica holds it, it does so for [`CensusPace::lease`] from now and no
    /// longer, whatever happens to this process: the gauges' callbacks check the time themselves.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the store, or [`StoreError::Unavailable`] if it was too slow. A lease that is held stays
    /// valid until it expires.
    pub async fn hold(&self) -> Result<Lease, StoreError> {
        let (asked_at, ttl) = (self.clock.monotonic(), self.pace.lease());
        let answer = self.in_time(self.observer.hold(self.service, ttl)).await;
        match &answer {
            Ok(Lease {
                mine: true, epoch, ..
            }) => {
                if self.state.lease_acquired(*epoch, asked_at, asked_at + ttl) {
                    self.started_at.notify_one();
                }
            }
            Ok(Lease {
                mine: false, epoch, ..
            }) => self
                .state
                .lease_held_elsewhere(*epoch, asked_at, asked_at + ttl),
            // While this replica is the observer, its counts show whether the store responds.
            Err(_) => self.state.lease_unanswered(),
        }
        answer
    }

    /// Counts once and publishes the snapshot, or withdraws it if the store does not respond in time. Does nothing if
    /// another replica is the observer.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the store, or [`StoreError::Unavailable`] if it was too slow.
    pub async fn count(&self) -> Result<Option<Census>, StoreError> {
        if !self.state.observes() {
            return Ok(None);
        }
        let asked_at = self.clock.monotonic();
        let census = self.books.count().await;
        match &census {
            Ok(census) => self.gauges.publish(*census, asked_at),
            Err(_) => self.state.count_unanswered(),
        }
        census.map(Some)
    }

    /// Counts once, after trying to acquire the lease if this replica does not hold it.
    ///
    /// # Errors
    ///
    /// See [`CensusTaker::hold`] and [`CensusTaker::count`].
    pub async fn take(&self) -> Result<Option<Census>, StoreError> {
        if !self.state.observes() {
            self.hold().await?;
        }
        self.count().await
    }

    /// Stops observing and releases the lease, so that another replica can take over at once. Export the last counts
    /// before.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the store: the lease then expires by itself.
    pub async fn resign(&self) -> Result<(), StoreError> {
        self.state.lease_released();
        self.in_time(self.observer.release()).await
    }

    /// Holds the lease, and while it is held counts every interval and soon after each signal, forever.
    pub async fn run(&self) {
        // One count may be late and the next one slow. After both times have passed, the counting task has stopped.
        let CensusPace { interval, timeout } = self.pace;
        self.state
            .limit_count_age(2 * interval + 2 * timeout + LEAST_PAUSE);
        tokio::join!(self.keep_lease(), self.keep_count());
    }

    async fn keep_lease(&self) {
        let (mut before, mut kin_before) = (None, true);
        loop {
            let lease = self.hold().await.ok();
            let mine = lease.map(|lease| lease.mine);
            if let Some(Lease { kin, .. }) = lease {
                if kin_before && !kin {
                    tracing::warn!(
                        "a server with another cookie_key stores its sessions under the same keys: sessions from one are not \
                         valid on the other; give all servers of a service the same cookie_key, and each service its \
                         own redis_key_prefix"
                    );
                }
                kin_before = kin;
            }
            match (mine, before) {
                (Some(true), Some(false)) => tracing::info!("this replica is now the observer"),
                (Some(false), Some(true)) => tracing::info!("another replica is now the observer"),
                _ => {}
            }
            before = mine.or(before);
            // Without a response no replica may be the observer. A fast retry keeps the gap short.
            let pause = match lease {
                Some(_) => self.pace.lease() / 3,
                None => LEAST_PAUSE,
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn keep_count(&self) {
        let mut answered = true;
        loop {
            if !self.state.observes() {
                self.started_at.notified().await;
                continue;
            }
            let result = self.count().await;
            match (&result, answered) {
                (Err(error), true) => {
                    tracing::warn!(
                        error.type = error.error_type(), error = error.in_full(),
                        "the session store does not respond; the session gauges are absent until it does"
                    );
                }
                (Ok(_), false) => tracing::info!("the session store responds again"),
                _ => {}
            }
            answered = result.is_ok();
            let pause = LEAST_PAUSE.min(self.pace.interval);
            tokio::time::sleep(pause).await;
            if !answered {
                continue;
            }
            let rest = self.pace.interval.saturating_sub(pause);
            let sooner = async {
                tokio::select! {
                    () = self.bell.0.notified() => {}
                    () = self.started_at.notified() => {}
                }
            };
            // Either the interval is over or sessions have changed: count again in both cases.
            let _ = tokio::time::timeout(rest, sooner).await;
        }
    }

    async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let answer = tokio::time::timeout(self.pace.timeout, answer).await;
        answer.unwrap_or_else(|_| Err(StoreError::timed_out()))
    }
}
