//! One run: makes the accounts and services, sends the traffic, and sums up.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use url::Url;

use super::{
    api::{Api, Credentials, http_client},
    cast::Cast,
    ledger::Ledger,
    live::{Metrics, watch},
    operator::Operator,
    plan::Plan,
    reading::Reading,
    rhythm::Day,
    stop::Stop,
    summary::Summary,
    traffic::{Stage, play},
};
use crate::{cli::output::line, clock::Clock};

/// The pause before a comparison is tried again: the census takes a moment.
const AGAIN: Duration = Duration::from_millis(200);

/// What is counted as it happens may still be a moment behind the answer.
const AT_ONCE: Duration = Duration::from_secs(5);

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
    /// How long the gauges may take to follow.
    pub(super) patience: Duration,
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
        );
        let before = match &self.metrics {
            Some(metrics) => Some(metrics.read().await?),
            None => None,
        };
        let mut operator = Operator::log_in(api.clone(), self.superuser.clone())
            .await
            .with_context(|| format!("{}: cannot begin", self.api))?;
        let cast = Cast::assemble(&self.prefix);
        let outcome = match operator.hire(&cast).await {
            Ok(()) => {
                let (day, clock) = (self.day, Arc::clone(&self.clock));
                let stage = Stage::set(api, ledger, cast, &self.prefix, day, clock);
                self.play(&Arc::new(stage), operator.clone(), before, stop)
                    .await
            }
            Err(error) => {
                Err(error.context("the accounts and services of the demo cannot be made"))
            }
        };
        if self.leaves_nothing {
            let tidied = self.tidy_up(operator, stop).await;
            return match (outcome, tidied) {
                (Err(error), Err(left)) => Err(error.context(left.to_string())),
                (outcome, tidied) => outcome.and(tidied),
            };
        }
        outcome
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
        tokio::select! {
            result = self.sum_up(stage, &mut operator, before) => result,
            () = stop.asked(2) => anyhow::bail!("stopped before the summary"),
        }
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
            let (same, patience) = match &compared {
                Ok(summary) if !summary.may_follow() => (false, AT_ONCE),
                Ok(summary) => (summary.is_same(), self.patience),
                Err(_) => (false, self.patience),
            };
            if same || self.clock.monotonic() >= began + patience {
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

    /// Deletes the accounts and services that were made and ends the operator's session.
    async fn tidy_up(&self, mut operator: Operator, stop: &Stop) -> anyhow::Result<()> {
        let left = tokio::select! {
            left = operator.dismiss() => left,
            () = stop.asked(2) => {
                anyhow::bail!("stopped before all accounts and services were deleted; delete those whose names begin with {}", self.prefix)
            }
        };
        operator.log_out().await;
        anyhow::ensure!(
            left == 0,
            "{left} accounts or services were not deleted; delete those whose names begin with {}",
            self.prefix
        );
        Ok(())
    }
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
