//! How long one request waits for stores, all waits together.
//!
//! A store answers within its timeout or not at all. A request that asks several times could still wait several timeouts,
//! where a store is slow but alive. So whoever answers a request gives its work a patience, and the stores take their
//! answers' time from it.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

tokio::task_local! {
    static CURRENT: Patience;
}

/// What is left of the time that some work may wait for stores. Clones share it.
#[derive(Clone, Debug)]
pub struct Patience {
    left_us: Arc<AtomicU64>,
    whole_us: u64,
}

impl Patience {
    /// A patience of this length, in whole microseconds: at least the timeout of each single store.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        let whole_us = micros(limit);
        Self {
            left_us: Arc::new(whole_us.into()),
            whole_us,
        }
    }

    /// Does `work` with it. What `work` spawns has none, unless it is [`carried`].
    pub fn during<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        // Not an `async fn`: that keeps room for its argument beside the future that it moves it into, and the work is large.
        CURRENT.scope(self, work)
    }
}

/// What is left of the patience of the work that asks. `None` where it is without end, or whole: then the store's own
/// timeout is the one that counts, and a second timer beside it would be for nothing.
#[must_use]
pub fn left() -> Option<Duration> {
    let left = CURRENT.try_with(|it| {
        let left = it.left_us.load(Relaxed);
        (left < it.whole_us).then_some(left)
    });
    left.ok().flatten().map(Duration::from_micros)
}

/// Takes this much from it.
pub fn spend(time: Duration) {
    let time = micros(time);
    // Without a patience there is nothing to take it from.
    let _ = CURRENT.try_with(|it| {
        it.left_us
            .fetch_update(Relaxed, Relaxed, |left| Some(left.saturating_sub(time)))
    });
}

/// Work for another task that somebody here waits for: it goes on with the patience of this one.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let patience = CURRENT.try_with(Patience::clone);
    async move {
        match patience {
            Ok(patience) => patience.during(work).await,
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
    async fn all_waits_of_one_request_come_from_one_patience() {
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
        let left = Patience::new(500 * MS).during(work).await;
        assert_eq!(left, Some(Duration::ZERO));
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_has_no_end_of_patience() {
        spend(MS);
        assert_eq!(left(), None);
        assert_eq!(Patience::new(MS).during(async { left() }).await, None);
        let work = async { tokio::spawn(async { left() }).await.unwrap() };
        assert_eq!(Patience::new(MS).during(work).await, None);
    }
}
