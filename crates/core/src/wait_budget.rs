//! Limits the total time that one request waits for stores.
//!
//! Each call to a store has a timeout. A request that makes several calls could still wait for several timeouts if a
//! store is slow but not down. The request layer therefore runs each request with a wait budget, and every call to a
//! store spends from it.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

tokio::task_local! {
    static CURRENT: WaitBudget;
}

/// The time that a task may still wait for stores. Clones share it.
#[derive(Clone, Debug)]
pub struct WaitBudget {
    left_us: Arc<AtomicU64>,
    whole_us: u64,
}

impl WaitBudget {
    /// Creates a budget of this length, rounded to microseconds. It should be at least the timeout of a single call.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        let whole_us = micros(limit);
        Self {
            left_us: Arc::new(whole_us.into()),
            whole_us,
        }
    }

    /// Runs `work` with this budget. Tasks that `work` spawns have none, unless they are [`carried`].
    pub fn during<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        // Not an `async fn`: its future would hold the argument twice, before and after the move, and the work is
        // large.
        CURRENT.scope(self, work)
    }
}

/// Returns what is left of the budget of the current task. Returns `None` if it has no budget, or has spent nothing
/// of it: the timeout of the store is then the only limit needed.
#[must_use]
pub fn left() -> Option<Duration> {
    let left = CURRENT.try_with(|it| {
        let left = it.left_us.load(Relaxed);
        (left < it.whole_us).then_some(left)
    });
    left.ok().flatten().map(Duration::from_micros)
}

/// Spends this time from the budget of the current task.
pub fn spend(time: Duration) {
    let time = micros(time);
    // A task without a budget has nothing to spend.
    let _ = CURRENT.try_with(|it| {
        it.left_us
            .fetch_update(Relaxed, Relaxed, |left| Some(left.saturating_sub(time)))
    });
}

/// Wraps work that runs on another task while the current task waits for it: it spends from the budget of the current
/// task.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let wait_budget = CURRENT.try_with(WaitBudget::clone);
    async move {
        match wait_budget {
            Ok(wait_budget) => wait_budget.during(work).await,
            Err(_) => work.await,
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn all_waits_of_one_request_share_one_budget() {
        let work = async {
            spend(200 * MS);
            let elsewhere = tokio::spawn(carried(async {
                spend(200 * MS);
                left()
            }));
            assert_eq!(elsewhere.await.unwrap(), Some(100 * MS));
            spend(200 * MS);
            left()
        };
        let left = WaitBudget::new(500 * MS).during(work).await;
        assert_eq!(left, Some(Duration::ZERO));
    }

    #[tokio::test]
    async fn detached_work_has_no_budget_that_ends() {
        spend(MS);
        assert_eq!(left(), None);
        assert_eq!(WaitBudget::new(MS).during(async { left() }).await, None);
        let work = async { tokio::spawn(async { left() }).await.unwrap() };
        assert_eq!(WaitBudget::new(MS).during(work).await, None);
    }
}
