//! The live view: reads `/metrics` twice a second and shows the values.

use std::time::Duration;

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{
    ledger::LoginAnswer,
    reading::Reading,
    screen::Screen,
    traffic::Stage,
    view::{Rates, View},
};
use crate::telemetry::exposition::Exposition;

/// A `/metrics` page.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    pub(super) client: reqwest::Client,
    pub(super) url: Url,
    /// The bearer token, if it requires one.
    pub(super) token: Option<SecretString>,
    /// The IDs of the demo's own services.
    pub(super) machines: [String; 3],
}

impl Metrics {
    /// Reads the page.
    ///
    /// # Errors
    ///
    /// If there is no response, or it is not a metrics page.
    pub(super) async fn read(&self) -> anyhow::Result<Reading> {
        let mut request = self.client.get(self.url.clone());
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        let answer = async { request.send().await?.error_for_status()?.text().await };
        let text = answer
            .await
            .with_context(|| format!("no response from {}", self.url))?;
        let page =
            Exposition::parse(&text).with_context(|| format!("{} cannot be read", self.url))?;
        Ok(Reading::of(&page, &self.machines))
    }
}

/// Shows the live view until standard output is closed.
pub(super) async fn watch(stage: &Stage, metrics: Option<&Metrics>, length: Option<Duration>) {
    let mut screen = Screen::of_stdout();
    let mut rates = Rates::default();
    let mut ticks = tokio::time::interval(screen.interval());
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let reading = match metrics {
            // Without a response, all values are absent.
            Some(metrics) => Some(metrics.read().await.unwrap_or_default()),
            None => None,
        };
        let (elapsed, counts) = (stage.elapsed(), stage.ledger.counts());
        let succeeded = counts.of(LoginAnswer::Success);
        let logins = match &reading {
            Some(Reading {
                logins: [Some(succeeded), Some(failed)],
                ..
            }) => [*succeeded, *failed],
            _ => [succeeded, counts.failures()],
        };
        rates.note(elapsed, logins);
        let shown = screen.show(&View {
            time: stage.day.time(elapsed),
            elapsed,
            length,
            reading: reading.as_ref(),
            rates: &rates,
            counts,
            news: &stage.journal.entries(),
        });
        if shown.is_err() {
            return;
        }
    }
}
