//! One run: makes the accounts and services, sends the traffic, and sums up.

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

/// The pause before a comparison is tried again: the census takes a moment.
const AGAIN: Duration = Duration::from_millis(200);

/// What is counted as it happens may still be a moment behind the answer.
const AT_ONCE: Duration = Duration::from_secs(5);

/// The pause before the service is asked again whether it answers.
const KNOCK_AGAIN: Duration = Duration::from_secs(1);

/// How often it is told that it does not.
const TELL_AGAIN: Duration = Duration::from_secs(5);

/// What a run needs to know.
#[derive(Debug)]
pub(super) struct Run {
    /// The service's origin.
    pub(super) api: Url,
    /// Its metrics, where somebody has told where they are.
    pub(super) metrics: Option<Metrics>,
    /// A superuser of the service.
    pub(super) superuser: Credentials,
    /// What the names of the accounts and services begin with.
    pub(super) prefix: String,
    /// True where they are to be deleted at the end, because the service goes on.
    pub(super) leaves_nothing: bool,
    /// How long the service may leave everything unanswered.
    pub(super) limit: Duration,
    /// How long the gauges may take to follow.
    pub(super) time_limit: Duration,
    /// How long there is traffic; without end if there is none.
    pub(super) length: Option<Duration>,
    /// The rhythm.
    pub(super) day: Day,
    /// What the plan is drawn from.
    pub(super) seed: u64,
    /// The time.
    pub(super) clock: Arc<dyn Clock>,
}

impl Run {
    /// Runs to the end, or until somebody asks to stop.
    ///
    /// # Errors
    ///
    /// If the metrics do not say what was done, or the service does not answer as its API says.
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
                .context("the accounts and services of the demo cannot be made")
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
                // Where it was given up, somebody may still be at work.
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

    /// Does this unless the service is lost or somebody asks twice to stop.
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

    /// Plays, watches, and compares.
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
                    // Nobody is looking any more: it may end.
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
                 Nothing was compared: --management-target tells where the metrics are.",
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
            "\nWhat was done, and what the metrics say of it:\n{summary}"
        ))?;
        anyhow::ensure!(summary.is_same(), "the metrics do not say what was done");
        line("The metrics say what was done.")
    }

    /// Deletes the accounts and services that were made, also those of whose making no answer told, and ends the
    /// operator's session.
    async fn tidy_up(&self, api: &Api, mut operator: Operator, stop: &Stop) -> anyhow::Result<()> {
        let is_ours = |made: &Made<'_>| made.name().starts_with(&self.prefix);
        // What was lost may be back; if not, there is no sense in asking for everything once more.
        let is_lost = api.reach().lost().is_some() && !api.knock(self.limit).await;
        let tidied = if is_lost {
            Err(anyhow::anyhow!("the service does not answer"))
        } else {
            let sweep = async {
                loop {
                    match operator.sweep(is_ours).await {
                        // Nobody answered: until the service is given up it may come back.
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
                "not all that is named {}… was deleted; `skriptoteket demo --clean` with the same --target and --superuser does it",
                self.prefix
            )
        })?;
        operator.log_out().await;
        Ok(())
    }
}

/// Waits until the service answers, and says on standard error why it does not.
///
/// # Errors
///
/// If it does not in time, or somebody asks to stop.
pub(super) async fn arrive(api: &Api, target: &Url, stop: &Stop) -> anyhow::Result<()> {
    let reach = api.reach();
    let (began, limit) = (reach.now(), reach.limit());
    let mut told = None;
    loop {
        let waited = || reach.now().saturating_sub(began);
        let answers = tokio::select! {
            answers = api.knock(limit.saturating_sub(waited())) => answers,
            () = stop.asked(1) => anyhow::bail!("{target}: stopped before it answered"),
        };
        if answers {
            return Ok(());
        }
        let cause = reach.silence().map(|(_, cause)| cause).unwrap_or_default();
        let left = limit.saturating_sub(waited());
        // In what would be left after a pause nobody may be able to answer, and then the cause would be that.
        let is_last = left < 2 * KNOCK_AGAIN;
        let pause = if is_last { left } else { KNOCK_AGAIN };
        if !left.is_zero() && told.is_none_or(|at| waited() >= at + TELL_AGAIN) {
            told = Some(waited());
            note(&format!("{target}: {}", waiting(waited(), limit, &cause)));
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.asked(1) => anyhow::bail!("{target}: stopped before it answered"),
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
