//! Requests at a constant rate, as long as the machine keeps up with it.
//!
//! Each request has its time, and is sent then although earlier ones are not answered yet; how long it took is measured
//! from that time. So a server that stops for a second shows as a second's worth of slow answers, and not as one (no
//! coordinated omission). Only so many requests are under way at once: a machine that cannot answer at this rate gets
//! fewer requests, and not a queue that grows. What rate a machine can answer is a matter for `make bench`.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::Semaphore, task::JoinSet, time};

/// How much is sent, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Requests a second, at most.
    pub(crate) rate: u32,
    /// Requests under way at once, at most.
    pub(crate) at_once: usize,
    /// It is not over earlier.
    pub(crate) at_least: Duration,
    /// It is over then even if it was not enough.
    pub(crate) at_most: Duration,
}

/// What became of it.
pub(crate) struct Outcome<T> {
    /// What each request came to, in the order of the answers.
    pub(crate) answers: Vec<T>,
    /// Answers a second.
    pub(crate) achieved: f64,
    took: Vec<Duration>,
}

impl<T> Outcome<T> {
    /// The time within which this share of all requests was answered.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a place in a list of thousands"
        )]
        let place = (self.took.len() as f64 * share) as usize;
        self.took[place.min(self.took.len() - 1)]
    }
}

impl Load {
    /// Sends requests until the time is over and it is `enough`; `send` is given the number of each.
    pub(crate) async fn run<T, F>(
        self,
        enough: impl Fn() -> bool,
        mut send: impl FnMut(u32) -> F,
    ) -> Outcome<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let begun = Instant::now();
        let interval = Duration::from_secs(1) / self.rate;
        let places = Arc::new(Semaphore::new(self.at_once));
        let mut tasks = JoinSet::new();
        let mut due = begun;
        for n in 0.. {
            if begun.elapsed() > self.at_most || (begun.elapsed() > self.at_least && enough()) {
                break;
            }
            time::sleep_until(due.into()).await;
            let place = Arc::clone(&places).acquire_owned().await.unwrap();
            let request = send(n);
            tasks.spawn(async move {
                let answer = request.await;
                drop(place);
                (answer, due, Instant::now())
            });
            // What the machine did not keep up with is not made up for.
            due = (due + interval).max(Instant::now());
        }
        let (mut answers, mut took) = (Vec::new(), Vec::new());
        while let Some(done) = tasks.join_next().await {
            let (answer, due, at) = done.unwrap();
            answers.push(answer);
            took.push(at - due);
        }
        took.sort_unstable();
        Outcome {
            achieved: f64::from(u32::try_from(answers.len()).unwrap())
                / begun.elapsed().as_secs_f64(),
            answers,
            took,
        }
    }
}
