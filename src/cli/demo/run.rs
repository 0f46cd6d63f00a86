//! One run: creates the accounts and services, sends the traffic, and compares the counts.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use url::Url;

use super::{
    api::{Api, Credentials, http_client},
    cast::Cast,
    ledger::Ledger,
    live::{Metrics, watch},
    operator::{Made, Operator},
    plan::Plan,
    reach::{Reach, tell_beside_the_view, waiting},
    reading::Reading,
    rhythm::Day,
    stop::Stop,
    summary::Summary,
    traffic::{Stage, play},
};
use crate::{
    cli::output::{line, note},
    clock::Clock,
};

/// The pause before a comparison is repeated: the census takes a moment.
const AGAIN: Duration = Duration::from_millis(200);

/// Metrics that are recorded immediately may still be a moment behind the response.
const AT_ONCE: Duration = Duration::from_secs(5);

/// The pause before the next attempt to reach the service.
const KNOCK_AGAIN: Duration = Duration::from_secs(1);

/// Interval between messages while it does not respond.
const TELL_AGAIN: Duration = Duration::from_secs(5);

/// The parameters of a run.
#[derive(Debug)]
pub(super) struct Run {
    /// The service's origin.
    pub(super) api: Url,
    /// Its metrics, if their URL is known.
    pub(super) metrics: Option<Metrics>,
    /// A superuser of the service.
    pub(super) superuser: Credentials,
    /// The prefix of the names of accounts and services.
    pub(super) prefix: String,
    /// True if they are deleted at the end, because the service continues to run.
    pub(super) leaves_nothing: bool,
    /// Maximum time without a response of the service.
    pub(super) limit: Duration,
    /// Maximum time for the gauges to follow.
    pub(super) time_limit: Duration,
    /// Duration of the traffic; unlimited if absent.
    pub(super) length: Option<Duration>,
    pub(super) day: Day,
    /// The seed of the plan.
    pub(super) seed: u64,
    pub(super) clock: Arc<dyn Clock>,
}

impl Run {
    /// Runs to the end, or until a stop is requested.
    ///
    /// # Errors
    ///
    /// If the metrics differ from what was done, or the service responds in a way that its API does not define.
    pub(super) async fn perform(self, stop: &Stop) -> anyhow::Result<()> {
        let ledger = Arc::new(Ledger::default());
        let api = Api::new(
            http_client(&self.api)?,
            self.api.clone(),
            Arc::clone(&ledger),
            Reach::new(Arc::clone(&self.clock), self.limit),
        );
        arrive(&api, &self.api, stop).await?;
        let before = match &self.metrics {
            Some(metrics) => Some(metrics.read().await?),
            None => None,
        };
        let mut operator = Operator::log_in(api.clone(), self.superuser.clone())
            .await
            .with_context(|| format!("{}: cannot begin", self.api))?;
        let cast = Cast::assemble(&self.prefix);
        let hired = {
            let hire = operator.hire(&cast);
            self.while_it_answers(&api, stop, note, hire)
                .await
                .context("cannot create the accounts and services of the demo")
        };
        let outcome = match hired {
            Ok(()) => {
                let (day, clock) = (self.day, Arc::clone(&self.clock));
                let stage = Stage::set(api.clone(), ledger, cast, &self.prefix, day, clock);
                let stage = Arc::new(stage);
                let play = self.play(&stage, operator.clone(), before, stop);
                let tell = |what: &str| {
                    stage.tell(what);
                    tell_beside_the_view(what);
                };
                let outcome = self
                    .while_it_answers(&api, stop, tell, Box::pin(play))
                    .await;
                // After a failure, tasks may still be running.
                stage.close();
                outcome
            }
            Err(error) => Err(error),
        };
        if self.leaves_nothing {
            let tidied = self.tidy_up(&api, operator, stop).await;
            return match (outcome, tidied) {
                (Err(error), Err(left)) => Err(anyhow::anyhow!("{error:#}; {left:#}")),
                (outcome, tidied) => outcome.and(tidied),
            };
        }
        outcome
    }

    /// Runs `work` unless the service is lost or a stop is requested twice.
    async fn while_it_answers<T>(
        &self,
        api: &Api,
        stop: &Stop,
        tell: impl Fn(&str),
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        tokio::select! {
            done = work => done,
            cause = api.reach().until_lost(tell) => Err(lost(&self.api, api.reach(), &cause)),
            () = stop.asked(2) => Err(anyhow::anyhow!("stopped before the summary")),
        }
    }

    /// Sends the traffic, shows the live view, and compares the counts.
    async fn play(
        &self,
        stage: &Arc<Stage>,
        operator: Operator,
        before: Option<Reading>,
        stop: &Stop,
    ) -> anyhow::Result<()> {
        let plan = Plan::new(self.seed, self.day, &stage.cast);
        let mut operator = {
            let show = watch(stage, self.metrics.as_ref(), self.length);
            let playing = play(plan, stage, operator, self.length, stop);
            tokio::pin!(playing);
            tokio::select! {
                played = &mut playing => played?,
                () = show => {
                    // Standard output is closed, so the run may end.
                    stop.ask();
                    playing.await?
                }
            }
        };
        self.sum_up(stage, &mut operator, before).await
    }

    async fn sum_up(
        &self,
        stage: &Stage,
        operator: &mut Operator,
        before: Option<Reading>,
    ) -> anyhow::Result<()> {
        let (Some(metrics), Some(before)) = (&self.metrics, before) else {
            let counts = stage.ledger.counts();
            let logins = counts.logins.map(|n| n.to_string());
            let requests = counts.requests();
            let all = counts.logins.iter().sum::<u64>();
            let calls = counts.calls.all();
            line(format_args!(
                "\nSent {requests} requests: {all} logins (200/401/429/403/5xx: {}), {calls} calls of services.\n\
                 Nothing was compared: set --management-target to the URL of the metrics.",
                logins.join("/"),
            ))?;
            return Ok(());
        };
        let began = self.clock.monotonic();
        let summary = loop {
            let compared = compare(stage, operator, metrics, &before).await;
            let (same, time_limit) = match &compared {
                Ok(summary) if !summary.may_follow() => (false, AT_ONCE),
                Ok(summary) => (summary.is_same(), self.time_limit),
                Err(_) => (false, self.time_limit),
            };
            if same || self.clock.monotonic() >= began + time_limit {
                break compared?;
            }
            tokio::time::sleep(AGAIN).await;
        };
        line(format_args!(
            "\nCounts of the demo and of the metrics:\n{summary}"
        ))?;
        anyhow::ensure!(
            summary.is_same(),
            "the metrics differ from the demo's counts"
        );
        line("The metrics agree with the demo's counts.")
    }

    /// Deletes the accounts and services that were created, including those whose creation got no response, and ends
    /// the operator's session.
    async fn tidy_up(&self, api: &Api, mut operator: Operator, stop: &Stop) -> anyhow::Result<()> {
        let is_ours = |made: &Made<'_>| made.name().starts_with(&self.prefix);
        // The service may have recovered; if not, it makes no sense to send every request again.
        let is_lost = api.reach().lost().is_some() && !api.knock(self.limit).await;
        let tidied = if is_lost {
            Err(anyhow::anyhow!("the service does not respond"))
        } else {
            let sweep = async {
                loop {
                    match operator.sweep(is_ours).await {
                        // No response: the service may recover until the maximum time has passed.
                        Err(_) if api.reach().silence().is_some() => {
                            tokio::time::sleep(KNOCK_AGAIN).await;
                        }
                        swept => return swept.map(drop),
                    }
                }
            };
            tokio::select! {
                swept = sweep => swept,
                cause = api.reach().until_lost(note) => Err(anyhow::anyhow!("{cause}")),
                () = stop.asked(3) => Err(anyhow::anyhow!("stopped")),
            }
        };
        tidied.with_context(|| {
            format!(
                "not everything named {}… was deleted; `skriptoteket demo --clean` with the same --target and --superuser does",
                self.prefix
            )
        })?;
        operator.log_out().await;
        Ok(())
    }
}

/// Waits until the service responds, and prints on standard error why it does not.
///
/// # Errors
///
/// If it does not respond in time, or a stop is requested.
pub(super) async fn arrive(api: &Api, target: &Url, stop: &Stop) -> anyhow::Result<()> {
    let reach = api.reach();
    let (began, limit) = (reach.now(), reach.limit());
    let mut told = None;
    loop {
        let waited = || reach.now().saturating_sub(began);
        let answers = tokio::select! {
            answers = api.knock(limit.saturating_sub(waited())) => answers,
            () = stop.asked(1) => anyhow::bail!("{target}: stopped before it responded"),
        };
        if answers {
            return Ok(());
        }
        let cause = reach.silence().map(|(_, cause)| cause).unwrap_or_default();
        let left = limit.saturating_sub(waited());
        // The time left after a pause may be too short for a response, which would hide the actual cause.
        let is_last = left < 2 * KNOCK_AGAIN;
        let pause = if is_last { left } else { KNOCK_AGAIN };
        if !left.is_zero() && told.is_none_or(|at| waited() >= at + TELL_AGAIN) {
            told = Some(waited());
            note(&format!("{target}: {}", waiting(waited(), limit, &cause)));
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.asked(1) => anyhow::bail!("{target}: stopped before it responded"),
        }
        if is_last {
            return Err(lost(target, reach, &cause));
        }
    }
}

fn lost(target: &Url, reach: &Reach, cause: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "{target}: no answer for {} s: {cause}",
        reach.limit().as_secs_f32()
    )
}

async fn compare(
    stage: &Stage,
    operator: &mut Operator,
    metrics: &Metrics,
    before: &Reading,
) -> anyhow::Result<Summary> {
    let enumerated = operator.enumerate().await?;
    let after = metrics.read().await?;
    // Read last: the operator may have had to log in again.
    let counts = stage.ledger.counts();
    Ok(Summary::compare(&counts, before, &after, &enumerated))
}
