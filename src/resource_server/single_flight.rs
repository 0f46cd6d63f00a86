//! One question at a time: all who want the same answer at the same moment wait for one of them.

use std::{
    sync::{PoisonError, RwLock},
    time::Duration,
};

use tokio::sync::Mutex;

use super::issuer::Unanswered;
use crate::clock::Clock;

/// Asks one question after the other, and keeps the last answer.
#[derive(Debug)]
pub(super) struct SingleFlight<T> {
    completed: RwLock<Option<Completed<T>>>,
    /// Held by whoever asks. One who gives up lets the next one ask.
    asking: Mutex<()>,
}

/// A question that has come back.
#[derive(Clone, Debug)]
pub(super) struct Completed<T> {
    /// The monotonic time at which it was asked: the answer may be as old as that.
    pub(super) asked_at: Duration,
    /// The monotonic time at which it came back.
    pub(super) back_at: Duration,
    /// What it brought.
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
    /// The last one, if there was any.
    pub(super) fn last(&self) -> Option<Completed<T>> {
        let completed = self.completed.read();
        completed.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether somebody is asking.
    pub(super) fn is_under_way(&self) -> bool {
        self.asking.try_lock().is_err()
    }

    /// Asks, unless another one did so while this one waited for its turn, or the last answer is good `enough`.
    ///
    /// An answer that was asked for after the caller came is always shared. So is a failure that the caller has waited for,
    /// even if it began before: else all who wait for an issuer that is away would wait one after the other.
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
    use crate::clock::ManualClock;

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
            // The first question is under way, and its answer may be older than this request.
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
