//! Requests at a constant rate, as far as the machine keeps up.
//!
//! Each request has a scheduled time and is sent then, even if earlier ones have no response yet. Its duration is
//! measured from the scheduled time. So a server that stops for a second shows as a second's worth of slow responses,
//! not as one (no coordinated omission). The number of requests in progress is limited: a machine that cannot keep up
//! with the rate gets fewer requests instead of a growing queue. The rate that a machine can sustain is measured by
//! `make bench`.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::Semaphore, task::JoinSet, time};

/// The rate and the duration of the load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Maximum number of requests per second.
    pub(crate) rate: u32,
    /// Maximum number of requests in progress.
    pub(crate) at_once: usize,
    /// Minimum duration.
    pub(crate) at_least: Duration,
    /// Maximum duration, even if it was not enough.
    pub(crate) at_most: Duration,
}

/// The result of a load.
pub(crate) struct Outcome<T> {
    /// The result of each request, in the order of the responses.
    pub(crate) answers: Vec<T>,
    /// Responses per second.
    pub(crate) achieved: f64,
    took: Vec<Duration>,
}

impl<T> Outcome<T> {
    /// Returns the time within which this share of all requests got a response.
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
    /// Sends requests until the time is over and it is `enough`. `send` gets the number of each request.
    pub(crate) async fn run<T, F>(
        self,
        enough: impl Fn() -> bool,
        mut send: impl FnMut(u32) -> F,
    ) -> Outcome<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let started_at = Instant::now();
        let interval = Duration::from_secs(1) / self.rate;
        let places = Arc::new(Semaphore::new(self.at_once));
        let mut tasks = JoinSet::new();
        let mut due = started_at;
        for n in 0.. {
            if started_at.elapsed() > self.at_most
                || (started_at.elapsed() > self.at_least && enough())
            {
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
            // Requests that the machine was too slow for are not made up for.
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
                / started_at.elapsed().as_secs_f64(),
            answers,
            took,
        }
    }
}
