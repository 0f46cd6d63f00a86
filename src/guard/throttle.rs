//! Login throttling. Every attempt passes through it: it takes a place in each of its budgets, and waits where all that is left of one is
//! held by attempts whose outcome is not known yet.
//!
//! Those who wait for the same entity stand in line, and only the first of them asks the store: when an attempt of this
//! process was settled, and every [`POLL`] for those of other replicas. Who comes later goes behind them.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{Notify, Semaphore, oneshot},
};
use tracing::Instrument;

use super::{AttemptId, Charge, Checked, Decision, Entity, LoginThrottleRepository};
use crate::{
    error::{Cause, StoreError},
    wait_budget,
};

/// How long an attempt waits at most. Longer than the password checks of a whole line take. The holds of a replica that died
/// may last longer, 15 to 30 s. A proxy has to wait 10 s more than this for a login: `docker/nginx.conf` does.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// How often the first in line asks for outcomes of other replicas.
const POLL: Duration = Duration::from_millis(50);

/// How many may stand in one line.
const LONGEST_LINE: usize = 512;

/// When an attempt is tried to be settled again that the store did not confirm: over half a minute, which outlasts a restart of a
/// store, and less than [`AttemptId::KEPT`].
const SETTLE_PAUSES: [Duration; 5] = [
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(20),
];

/// How many attempts are tried to be settled again at the same time. Of more than that, as in a flood while the store is away,
/// those that took their places become failures.
const MOST_UNSETTLED: usize = 4_096;

/// When to come back for an attempt that could not wait any longer.
const COME_BACK: Duration = Duration::from_secs(1);

/// Why an attempt did not pass.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// An entity has used up its budget.
    #[error("a budget of guesses is used up")]
    Locked {
        /// Whose budget it is.
        entity: Entity,
        /// When the next attempt may pass; never zero.
        retry_after: Duration,
    },
    /// Too many other attempts on the same budget are in flight, for too long. No budget is used up.
    #[error("too many attempts are in flight")]
    Busy {
        /// When to try again; never zero.
        retry_after: Duration,
    },
    /// The store failed.
    #[error("the store of budgets failed")]
    Store(#[from] StoreError),
    /// The task that asked the store is gone.
    #[error("the store of budgets was not asked to the end")]
    Aborted(#[source] Cause),
}

/// Lets attempts pass, as many as their budgets have left. Cheap to clone.
#[derive(Clone)]
pub struct LoginThrottle {
    inner: Arc<Inner>,
}

struct Inner {
    limits: Arc<dyn LoginThrottleRepository>,
    lines: Mutex<HashMap<Entity, Arc<Line>>>,
    unsettled: Semaphore,
    runtime: Handle,
}

/// Those who wait for one entity.
#[derive(Debug, Default)]
struct Line {
    /// Whose turn it is to ask; tokio's mutex is handed on in the order in which it was asked for.
    turn: tokio::sync::Mutex<()>,
    /// An attempt on this entity was settled.
    settled: Notify,
}

impl fmt::Debug for LoginThrottle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginThrottle")
    }
}

impl LoginThrottle {
    /// A throttle with these budgets. Holds that are dropped are given back on `runtime`.
    #[must_use]
    pub fn new(limits: Arc<dyn LoginThrottleRepository>, runtime: Handle) -> Self {
        let inner = Inner {
            limits,
            lines: Mutex::default(),
            unsettled: Semaphore::new(MOST_UNSETTLED),
            runtime,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Takes a place for one attempt in each of these budgets, which are asked in this order. Waits up to 20 s where one is
    /// used up by attempts in flight.
    ///
    /// # Errors
    ///
    /// [`Refusal`]; no place is held.
    ///
    /// # Cancellation
    ///
    /// A dropped future leaves the line, and gives back what it had taken.
    pub async fn enter(&self, charges: Vec<Charge>) -> Result<Reservation, Refusal> {
        let charges: Arc<[Charge]> = charges.into();
        let busy = match self.line_of_any(&charges) {
            Some(entity) => entity,
            None => match self.ask(&charges, true).await? {
                Asked::Passed(reservation) => return Ok(reservation),
                Asked::Busy(entity) => entity,
            },
        };
        let waited = tokio::time::timeout(LONGEST_WAIT, self.wait(&charges, busy));
        waited.await.unwrap_or(Err(Refusal::Busy {
            retry_after: COME_BACK,
        }))
    }

    async fn wait(&self, charges: &Arc<[Charge]>, busy: Entity) -> Result<Reservation, Refusal> {
        let mut of = busy;
        loop {
            let place = self.line_up(of)?;
            let _turn = place.line.turn.lock().await;
            // Where it is a person that others at the same address wait for too, this one does not keep them waiting behind
            // it. The other way round it stays: the line of a person is nobody else's.
            of = loop {
                match self.ask(charges, false).await? {
                    Asked::Passed(reservation) => return Ok(reservation),
                    Asked::Busy(other) if other != of && other.is_person() => break other,
                    Asked::Busy(_) => {
                        let settled = place.line.settled.notified();
                        let _ = tokio::time::timeout(POLL, settled).await;
                    }
                }
            };
        }
    }

    /// Asks the store, on a task of its own: a place that was taken for a caller who is gone is given back.
    async fn ask(&self, charges: &Arc<[Charge]>, is_first: bool) -> Result<Asked, Refusal> {
        let (answer, asked) = oneshot::channel();
        let (throttle, charges) = (self.clone(), Arc::clone(charges));
        let task = async move {
            let attempt = AttemptId::generate();
            let decision = throttle.inner.limits.reserve(attempt, &charges).await;
            let asked = match decision {
                Ok(Decision::Go) => Ok(Asked::Passed(Reservation {
                    throttle,
                    charges,
                    attempt: Some(attempt),
                })),
                Ok(Decision::Busy(entity)) => Ok(Asked::Busy(entity)),
                Ok(Decision::Locked {
                    entity,
                    retry_after,
                }) => Err(Refusal::Locked {
                    entity,
                    retry_after,
                }),
                Err(error) => {
                    // A store that did not answer in time may still have done it, or do it yet.
                    throttle.settle_later(attempt, charges, Checked::NotChecked);
                    Err(error.into())
                }
            };
            // A reservation that nobody takes is dropped, here or where it lies.
            let _ = answer.send(asked);
        };
        let task = task.in_current_span();
        if is_first {
            self.inner.runtime.spawn(wait_budget::carried(task));
        } else {
            // The wait is not the store's: what it is asked meanwhile spends nothing of the wait budget of the request.
            self.inner.runtime.spawn(task);
        }
        asked
            .await
            .map_err(|gone| Refusal::Aborted(gone.into()))
            .flatten()
    }

    /// Settles an attempt in the background: at once if the store answers, else after growing pauses. Where all tries fail, it
    /// becomes a failure if it holds places.
    fn settle_later(&self, attempt: AttemptId, charges: Arc<[Charge]>, checked: Checked) {
        let throttle = self.clone();
        let task = async move {
            let settle = || throttle.inner.limits.settle(attempt, &charges, checked);
            let mut settled = settle().await;
            if settled.is_err()
                && let Ok(_place) = throttle.inner.unsettled.try_acquire()
            {
                for pause in SETTLE_PAUSES {
                    tokio::time::sleep(pause).await;
                    settled = settle().await;
                    if settled.is_ok() {
                        break;
                    }
                }
            }
            throttle.wake(&charges);
            if let Err(error) = settled {
                tracing::debug!(
                    error.type = error.error_type(),
                    "an attempt that could not be settled counts as a failure if it holds a place"
                );
            }
        };
        self.inner.runtime.spawn(task);
    }

    /// The first of these entities that others wait for.
    fn line_of_any(&self, charges: &[Charge]) -> Option<Entity> {
        let lines = self.lines();
        let mut entities = charges.iter().map(|it| it.entity);
        entities.find(|entity| lines.contains_key(entity))
    }

    fn line_up(&self, entity: Entity) -> Result<Place<'_>, Refusal> {
        let mut lines = self.lines();
        let line = Arc::clone(lines.entry(entity).or_default());
        // One reference is the map's, one is ours.
        if Arc::strong_count(&line) > LONGEST_LINE + 1 {
            return Err(Refusal::Busy {
                retry_after: COME_BACK,
            });
        }
        drop(lines);
        Ok(Place {
            throttle: self,
            entity,
            line,
        })
    }

    /// Lets the first of those who wait for these entities ask again.
    fn wake(&self, charges: &[Charge]) {
        let lines = self.lines();
        for line in charges.iter().filter_map(|it| lines.get(&it.entity)) {
            line.settled.notify_one();
        }
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<Entity, Arc<Line>>> {
        let lines = self.inner.lines.lock();
        lines.unwrap_or_else(PoisonError::into_inner)
    }
}

enum Asked {
    Passed(Reservation),
    Busy(Entity),
}

/// A place in a line; dropped, it is left.
struct Place<'a> {
    throttle: &'a LoginThrottle,
    entity: Entity,
    line: Arc<Line>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut lines = self.throttle.lines();
        // The map's and ours: nobody else is in it, and nobody can come while the map is locked.
        if Arc::strong_count(&self.line) == 2 {
            lines.remove(&self.entity);
        }
    }
}

/// The places that one attempt holds. Dropped, they are given back as if there had been no attempt.
#[must_use]
pub struct Reservation {
    throttle: LoginThrottle,
    charges: Arc<[Charge]>,
    /// None once it was settled.
    attempt: Option<AttemptId>,
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

impl Reservation {
    /// Counts what the attempt was, and lets others pass.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the store. It is tried again in the background; where that fails too, the attempt becomes a failure in
    /// time.
    pub async fn settle(mut self, checked: Checked) -> Result<(), StoreError> {
        let Some(attempt) = self.attempt.take() else {
            return Ok(());
        };
        let throttle = &self.throttle;
        let settled = throttle
            .inner
            .limits
            .settle(attempt, &self.charges, checked)
            .await;
        if settled.is_ok() {
            throttle.wake(&self.charges);
        } else {
            throttle.settle_later(attempt, Arc::clone(&self.charges), checked);
        }
        settled
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(attempt) = self.attempt.take() {
            // Not through another reservation: a runtime that shuts down drops what it is given, and that would come here
            // again.
            let charges = Arc::clone(&self.charges);
            self.throttle
                .settle_later(attempt, charges, Checked::NotChecked);
        }
    }
}
