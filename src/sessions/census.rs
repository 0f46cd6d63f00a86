//! The census: counts sessions now and then, and keeps the count in memory for the gauges.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use tokio::sync::Notify;
use uuid::Uuid;

use super::{
    Census, Lease, LedgerRepository, ObserverLease, SessionGauges, SessionRepository,
    bookkeeping::Bookkeeper,
};
use crate::{clock::Clock, error::StoreError, observer_state::ObserverState};

/// However much happens, the store is counted at most once in this time.
const LEAST_PAUSE: Duration = Duration::from_millis(250);

const SHORTEST_LEASE: Duration = Duration::from_secs(1);
const LONGEST_LEASE: Duration = Duration::from_secs(20);

/// Asks for a count soon: given to those who start and end sessions.
#[derive(Clone, Debug, Default)]
pub struct CensusBell(Arc<Notify>);

impl CensusBell {
    /// Something happened to sessions. Costs an atomic operation.
    pub fn ring(&self) {
        self.0.notify_one();
    }
}

/// How often is counted, and how long an answer may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CensusPace {
    /// Between two counts.
    pub interval: Duration,
    /// An answer that takes longer is none.
    pub timeout: Duration,
}

impl CensusPace {
    /// For how long the lease is taken; it is asked for three times as often.
    ///
    /// Half the interval: of a replica that dies, another one takes the place within a third more than that, and so before
    /// the next count is due. Of long intervals not so much, so that nobody waits long for one; of short ones more, because
    /// the store may take a moment to answer.
    #[must_use]
    pub fn lease(&self) -> Duration {
        (self.interval / 2).clamp(SHORTEST_LEASE, LONGEST_LEASE)
    }
}

/// Refreshes the snapshot that the session gauges read, as long as it is this replica that observes.
pub struct CensusTaker {
    books: Bookkeeper,
    observer: Arc<dyn ObserverLease>,
    service: Uuid,
    gauges: SessionGauges,
    state: ObserverState,
    clock: Arc<dyn Clock>,
    pace: CensusPace,
    bell: CensusBell,
    /// This replica has begun to observe.
    begun: Notify,
}

impl fmt::Debug for CensusTaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CensusTaker")
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}

impl CensusTaker {
    /// Counts `sessions` into `gauges`, with the totals that `ledger` exports, while `observer` says that it is this replica of
    /// `service` that does.
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
            begun: Notify::new(),
        }
    }

    /// What makes [`CensusTaker::run`] count before its interval is over. Does nothing where another replica observes.
    #[must_use]
    pub fn bell(&self) -> CensusBell {
        self.bell.clone()
    }

    /// Asks who observes. If it is this replica, it is so for [`CensusPace::lease`] from now, and no longer whatever happens
    /// to this process: the gauges' callbacks look at the time themselves.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the store, or [`StoreError::Unavailable`] if it was too slow. A lease that is held goes on to its
    /// end.
    pub async fn hold(&self) -> Result<Lease, StoreError> {
        let (asked_at, ttl) = (self.clock.monotonic(), self.pace.lease());
        let answer = self.in_time(self.observer.hold(self.service, ttl)).await;
        match &answer {
            Ok(Lease {
                mine: true, epoch, ..
            }) => {
                if self.state.lease_acquired(*epoch, asked_at, asked_at + ttl) {
                    self.begun.notify_one();
                }
            }
            Ok(Lease {
                mine: false, epoch, ..
            }) => self
                .state
                .lease_held_elsewhere(*epoch, asked_at, asked_at + ttl),
            // The one that observes says by its counts whether the store answers, as long as it does.
            Err(_) => self.state.lease_unanswered(),
        }
        answer
    }

    /// Counts once and publishes the snapshot, or withdraws it if the store gives no answer in time. Does nothing if
    /// another replica observes.
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

    /// Counts once, after it has asked who observes if it was not this replica just before.
    ///
    /// # Errors
    ///
    /// As [`CensusTaker::hold`] and [`CensusTaker::count`].
    pub async fn take(&self) -> Result<Option<Census>, StoreError> {
        if !self.state.observes() {
            self.hold().await?;
        }
        self.count().await
    }

    /// Observes no more and lets another replica do so at once. What it has counted is to be exported before.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the store: the lease ends by itself then.
    pub async fn resign(&self) -> Result<(), StoreError> {
        self.state.lease_released();
        self.in_time(self.observer.release()).await
    }

    /// Holds the lease, and while it does counts every interval and soon after the bell, for ever.
    pub async fn run(&self) {
        // One count may be late and the next one slow; with both past, nobody is counting.
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
                        "a server with another cookie_key keeps its sessions under the same keys: who logs in at one of \
                         the two is not logged in at the other; give all servers of a service one cookie_key, and each \
                         service a redis_key_prefix of its own"
                    );
                }
                kin_before = kin;
            }
            match (mine, before) {
                (Some(true), Some(false)) => tracing::info!("this replica observes from now on"),
                (Some(false), Some(true)) => tracing::info!("another replica observes from now on"),
                _ => {}
            }
            before = mine.or(before);
            // Without an answer nobody may observe: the sooner it is asked again, the less goes unseen.
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
                self.begun.notified().await;
                continue;
            }
            let result = self.count().await;
            match (&result, answered) {
                (Err(error), true) => {
                    tracing::warn!(
                        error.type = error.error_type(), error = error.in_full(),
                        "the session store does not answer; the session gauges are absent until it does"
                    );
                }
                (Ok(_), false) => tracing::info!("the session store answers again"),
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
                    () = self.begun.notified() => {}
                }
            };
            // Either the interval is over or something happened: count again in both cases.
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
