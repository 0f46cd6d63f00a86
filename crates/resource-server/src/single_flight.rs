//! One request at a time: all callers that need the same response at the same moment share it.

use std::{
    sync::{PoisonError, RwLock},
    time::Duration,
};

use tokio::sync::Mutex;

use super::issuer::Unanswered;
use skriptoteket_core::clock::Clock;

/// Sends one request at a time and keeps the last result.
#[derive(Debug)]
pub(super) struct SingleFlight<T> {
    completed: RwLock<Option<Completed<T>>>,
    /// Held during a request. If it is cancelled, the next caller sends its own.
    asking: Mutex<()>,
}

/// A completed request.
#[derive(Clone, Debug)]
pub(super) struct Completed<T> {
    /// The monotonic time at which it was sent: the result may be as old as that.
    pub(super) asked_at: Duration,
    /// The monotonic time at which it completed.
    pub(super) back_at: Duration,
    /// The result.
    pub(super) outcome: Result<T, Unanswered>,
}

impl<T> Default for SingleFlight<T> {
    fn default() -> Self {
        Self {
            completed: RwLock::default(),
            asking: Mutex::default(),
        }
    }
}

impl<T: Clone> SingleFlight<T> {
    /// Returns the last result, if any.
    pub(super) fn last(&self) -> Option<Completed<T>> {
        let completed = self.completed.read();
        completed.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns whether a request is in progress.
    pub(super) fn is_under_way(&self) -> bool {
        self.asking.try_lock().is_err()
    }

    /// Sends a request, unless another caller completed one while this one waited, or the last result is good `enough`.
    ///
    /// A result that was requested after the caller arrived is always shared. So is a failure that the caller has
    /// waited for, even if its request began earlier: otherwise, while the issuer is unavailable, all waiting callers
    /// would time out one after the other.
    pub(super) async fn ask(
        &self,
        clock: &dyn Clock,
        enough: impl Fn(&Completed<T>) -> bool,
        question: impl Future<Output = Result<T, Unanswered>>,
    ) -> Completed<T> {
        let came_at = clock.monotonic();
        let _asking = self.asking.lock().await;
        let shared = |completed: &Completed<T>| {
            let from = match completed.outcome {
                Ok(_) => completed.asked_at,
                Err(_) => completed.back_at,
            };
            from >= came_at || enough(completed)
        };
        if let Some(completed) = self.last().filter(shared) {
            return completed;
        }
        let asked_at = clock.monotonic();
        let outcome = question.await;
        let completed = Completed {
            asked_at,
            back_at: clock.monotonic(),
            outcome,
        };
        let mut last = self
            .completed
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *last = Some(completed.clone());
        completed
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::atomic::{AtomicU64, Ordering::SeqCst},
    };

    use futures_util::future::{join, join_all};
    use tokio::{task::yield_now, time::timeout};

    use super::*;
    use skriptoteket_core::clock::ManualClock;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn who_waits_for_a_question_shares_what_came_back_unless_it_is_too_old() {
        let (clock, flight) = (ManualClock::default(), SingleFlight::default());
        let asked = AtomicU64::new(0);
        let question = || async {
            let number = asked.fetch_add(1, SeqCst);
            yield_now().await;
            clock.advance(MS);
            Ok(number)
        };
        let ask = || flight.ask(&clock, |_| false, question());
        let late = async {
            // The first request is in progress, and its result may be older than this call.
            yield_now().await;
            clock.advance(MS);
            join_all([ask(), ask(), ask()]).await
        };
        let (first, late) = join(ask(), late).await;
        assert_eq!(first.outcome.unwrap(), 0);
        assert!(late.iter().all(|it| matches!(it.outcome, Ok(1))));
        assert_eq!(asked.load(SeqCst), 2);
    }

    #[tokio::test]
    async fn who_waits_for_a_question_shares_its_failure() {
        let (clock, flight) = (ManualClock::default(), SingleFlight::<()>::default());
        let failing = async {
            yield_now().await;
            clock.advance(MS);
            Err(Unanswered::TooLarge)
        };
        let never = async { panic!("asked again") };
        let first = flight.ask(&clock, |_| false, failing);
        let second = flight.ask(&clock, |_| false, never);
        let (_, second) = join(first, second).await;
        assert!(second.outcome.is_err());
    }

    #[tokio::test]
    async fn who_gives_up_lets_the_next_one_ask() {
        let (clock, flight) = (ManualClock::default(), SingleFlight::default());
        let stuck = flight.ask(&clock, |_| false, pending());
        assert!(timeout(MS, stuck).await.is_err());
        assert!(!flight.is_under_way() && flight.last().is_none());
        let completed = flight.ask(&clock, |_| false, async { Ok(7) }).await;
        assert_eq!(completed.outcome.unwrap(), 7);
    }
}
