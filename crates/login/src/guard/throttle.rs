//! Login throttling. Every attempt takes a place in each of its budgets, and waits while the rest of a budget is held
//! by attempts whose outcome is not known yet.
//!
//! Attempts that wait for the same entity form a queue. Only the first one asks the store: when an attempt of this
//! process is settled, and every [`POLL`] for attempts of other replicas. New attempts join at the end.

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
use skriptoteket_core::{
    error::{Cause, StoreError},
    wait_budget,
};

/// Maximum wait of an attempt. It exceeds the time that the password checks of a whole queue take. The holds of a
/// replica that died may last longer, 15 to 30 s. A proxy has to wait 10 s longer than this for a login, as
/// `docker/nginx.conf` does.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// How often the first attempt in a queue polls for outcomes from other replicas.
const POLL: Duration = Duration::from_millis(50);

/// Maximum length of a queue.
const LONGEST_LINE: usize = 512;

/// Pauses between retries when the store did not confirm that an attempt was settled. In total over half a minute,
/// which outlasts a restart of a store, and less than [`AttemptId::KEPT`].
const SETTLE_PAUSES: [Duration; 5] = [
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(20),
];

/// Maximum number of attempts that are retried at the same time. Beyond it, for example in a flood during a store
/// outage, attempts that took their places become failures.
const MOST_UNSETTLED: usize = 4_096;

/// `retry_after` of an attempt that could not wait any longer.
const COME_BACK: Duration = Duration::from_secs(1);

/// Why an attempt did not pass.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The budget of an entity is exhausted.
    #[error("a budget of guesses is exhausted")]
    Locked {
        /// The owner of the budget.
        entity: Entity,
        /// Time until the next attempt may pass; never zero.
        retry_after: Duration,
    },
    /// Too many other attempts on the same budget were in flight for too long. No budget is exhausted.
    #[error("too many attempts are in flight")]
    Busy {
        /// Time until the next try; never zero.
        retry_after: Duration,
    },
    /// The store failed.
    #[error("the login throttle store failed")]
    Store(#[from] StoreError),
    /// The task that called the store is gone.
    #[error("the call to the login throttle store was aborted")]
    Aborted(#[source] Cause),
}

/// Lets as many attempts pass as their budgets allow. Cheap to clone.
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

/// The queue of attempts that wait for one entity.
#[derive(Debug, Default)]
struct Line {
    /// Held by the attempt that may ask the store. tokio's mutex is fair: it is acquired in the order of the requests.
    turn: tokio::sync::Mutex<()>,
    /// Notified when an attempt on this entity is settled.
    settled: Notify,
}

impl fmt::Debug for LoginThrottle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginThrottle")
    }
}

impl LoginThrottle {
    /// Creates a throttle. Dropped reservations are given back on `runtime`.
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

    /// Takes a place for one attempt in each of these budgets, which are checked in this order. Waits up to 20 s while
    /// a budget is used up by attempts in flight.
    ///
    /// # Errors
    ///
    /// [`Refusal`]; no place is held.
    ///
    /// # Cancellation
    ///
    /// A dropped future leaves the queue and gives back the places that it had taken.
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
            // If a person's budget turns out to be busy, this attempt moves to that person's queue, so that others at the
            // same address do not wait behind it. The reverse is not needed: the queue of a person blocks only that
            // person.
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

    /// Asks the store on its own task, so that a place taken for a caller that is gone is given back.
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
                    // A store that did not respond in time may have taken the places, or may still take them.
                    throttle.settle_later(attempt, charges, Checked::NotChecked);
                    Err(error.into())
                }
            };
            // A reservation that is not received is dropped, here or with the channel.
            let _ = answer.send(asked);
        };
        let task = task.in_current_span();
        if is_first {
            self.inner.runtime.spawn(wait_budget::carried(task));
        } else {
            // The wait is not caused by the store, so polling it does not spend the request's wait budget.
            self.inner.runtime.spawn(task);
        }
        asked
            .await
            .map_err(|gone| Refusal::Aborted(gone.into()))
            .flatten()
    }

    /// Settles an attempt in the background: at once if the store responds, otherwise after growing pauses. If all
    /// retries fail, the attempt becomes a failure if it holds places.
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
                    "could not settle an attempt; it counts as a failure if it holds a place"
                );
            }
        };
        self.inner.runtime.spawn(task);
    }

    /// Returns the first of these entities that other attempts wait for.
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

    /// Lets the first attempt in the queue of each of these entities ask again.
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

/// A place in a queue. Dropping it leaves the queue.
struct Place<'a> {
    throttle: &'a LoginThrottle,
    entity: Entity,
    line: Arc<Line>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut lines = self.throttle.lines();
        // Two references, the map's and ours: the queue is empty, and no attempt can join while the map is locked.
        if Arc::strong_count(&self.line) == 2 {
            lines.remove(&self.entity);
        }
    }
}

/// The places that one attempt holds. If dropped, they are given back as if there had been no attempt.
#[must_use]
pub struct Reservation {
    throttle: LoginThrottle,
    charges: Arc<[Charge]>,
    /// `None` once it was settled.
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
    /// Counts the outcome of the attempt and lets others pass.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the store. The call is retried in the background; if that fails too, the attempt eventually
    /// becomes a failure.
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
            // Not through another reservation: a runtime that shuts down drops the task, which would call this function
            // again.
            let charges = Arc::clone(&self.charges);
            self.throttle
                .settle_later(attempt, charges, Checked::NotChecked);
        }
    }
}
