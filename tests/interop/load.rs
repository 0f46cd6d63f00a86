//! Requests at a constant rate, whatever becomes of those before.
//!
//! Each request has its time, and is sent then though earlier ones are not answered yet; how long it took is measured from
//! that time. So a server that stops for a second is seen as a second's worth of slow answers, and not as one (no
//! coordinated omission).

use std::{
    future::Future,
    time::{Duration, Instant},
};

use tokio::{task::JoinSet, time};

/// What became of it.
pub(crate) struct Outcome<T> {
    /// What each request came to, in the order of the answers.
    pub(crate) answers: Vec<T>,
    /// Answers a second, of those that came while requests were sent.
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

/// Sends `rate` requests a second for so long; `send` is given the number of each.
pub(crate) async fn constant<T, F>(
    rate: u32,
    lasting: Duration,
    mut send: impl FnMut(u32) -> F,
) -> Outcome<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let begun = Instant::now();
    let interval = Duration::from_secs(1) / rate;
    let total = u32::try_from(lasting.as_nanos() / interval.as_nanos()).unwrap();
    let mut tasks = JoinSet::new();
    for n in 0..total {
        let due = begun + interval * n;
        time::sleep_until(due.into()).await;
        let request = send(n);
        tasks.spawn(async move {
            let answer = request.await;
            (answer, due, Instant::now())
        });
    }
    time::sleep_until((begun + lasting).into()).await;
    let (mut answers, mut took, mut in_time) = (Vec::new(), Vec::new(), 0_u32);
    while let Some(done) = tasks.join_next().await {
        let (answer, due, at) = done.unwrap();
        answers.push(answer);
        took.push(at - due);
        in_time += u32::from(at <= begun + lasting);
    }
    took.sort_unstable();
    Outcome {
        answers,
        achieved: f64::from(in_time) / lasting.as_secs_f64(),
        took,
    }
}
