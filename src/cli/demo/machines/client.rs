//! Sends the calls of machines, and records each in the ledger.

use std::{fmt::Display, sync::Arc, time::Duration};

use reqwest::{RequestBuilder, header::CONTENT_TYPE};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::mpsc;

use super::{Call, Job, Machine};
use crate::cli::demo::{api::Answer, traffic::Stage};

/// How often a rejected token is tried before the machine requests a new one.
const STUBBORN: u8 = 3;

/// Maximum time that a machine waits before it retries a call that a limit has rejected, whatever `Retry-After` says:
/// the day of a quota is longer than any demo.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The minimum wait that has an effect: a shorter one is over when the next job is due.
const WORTH_WAITING: u64 = 60;

/// A running machine.
struct Client<'a> {
    stage: &'a Stage,
    machine: &'a Machine,
    token: Option<SecretString>,
    /// How often the token was rejected.
    refused: u8,
    /// Until when it sends nothing.
    waits_until: Duration,
    /// Whether it has to wait for long, if the limit has been reported since the last accepted request.
    told: Option<bool>,
}

/// Runs jobs one by one until there are no more.
pub(in crate::cli::demo) async fn at_work(
    stage: Arc<Stage>,
    machine: Machine,
    mut jobs: mpsc::Receiver<Job>,
) {
    let mut client = Client {
        stage: &stage,
        machine: &machine,
        token: None,
        refused: 0,
        waits_until: Duration::ZERO,
        told: None,
    };
    while let Some(job) = jobs.recv().await {
        if !stage.is_closing() {
            client.run(job).await;
        }
    }
}

impl Client<'_> {
    async fn run(&mut self, job: Job) {
        match job {
            Job::Work if self.stage.elapsed() < self.waits_until => {}
            Job::Work if self.token.is_none() => self.fetch().await,
            Job::Work => self.use_token("check").await,
            Job::Heartbeat if self.token.is_some() => self.use_token("heartbeat").await,
            Job::Heartbeat => {}
            Job::Mistype => self.mistype().await,
            Job::UseRetired => self.use_retired().await,
            Job::GiveBack => self.give_back().await,
        }
    }

    async fn fetch(&mut self) {
        let secrets = self.machine.secrets.read().await;
        let answer = self.ask_for_token(Call::Token, &secrets.current).await;
        drop(secrets);
        let Some(answer) = answer else { return };
        let token = answer.body["access_token"].as_str();
        if let Some(token) = token.filter(|_| answer.status == 200) {
            self.token = Some(token.into());
            self.refused = 0;
        }
        self.heed(&answer);
    }

    /// Charges a request, or sends a heartbeat.
    async fn use_token(&mut self, what: &str) {
        let Some(token) = &self.token else { return };
        let path = format!("api/services/{}/{what}", self.machine.id);
        let request = self.post(&path);
        let request = request.map(|it| it.bearer_auth(token.expose_secret()));
        let Some(answer) = self.call(Call::Bearer, request).await else {
            return;
        };
        if answer.status == 401 {
            self.refused += 1;
            if self.refused == STUBBORN {
                self.tell("has a token that is rejected (401): requests another");
                self.token = None;
            }
        }
        self.heed(&answer);
    }

    async fn mistype(&self) {
        let wrong = SecretString::from("sks_this-was-never-a-secret-of-it");
        let answer = self.ask_for_token(Call::TokenByWrong, &wrong).await;
        if answer.is_some_and(|it| it.status == 401) {
            self.tell("has a wrong secret: rejected (401)");
        }
    }

    async fn use_retired(&self) {
        let secrets = self.machine.secrets.read().await;
        let Some(retired) = &secrets.retired else {
            return;
        };
        let answer = self.ask_for_token(Call::TokenByRetired, retired).await;
        match answer.map(|it| it.status) {
            Some(200) => self.tell("uses its old secret somewhere: still accepted"),
            Some(401) => self.tell("uses its old secret somewhere: expired (401)"),
            _ => {}
        }
    }

    async fn give_back(&self) {
        let Some(token) = &self.token else { return };
        let secrets = self.machine.secrets.read().await;
        let request = self.form("oauth2/revoke", &[("token", token.expose_secret())]);
        let request = request.map(|it| self.with_secret(it, &secrets.current));
        let answer = self.call(Call::GiveBack, request).await;
        if answer.is_some_and(|it| it.status == 200) {
            self.tell("has revoked its token, and continues to use it");
        }
    }

    async fn ask_for_token(&self, call: Call, secret: &SecretString) -> Option<Answer> {
        let request = self.form("oauth2/token", &[("grant_type", "client_credentials")]);
        let request = request.map(|it| self.with_secret(it, secret));
        self.call(call, request).await
    }

    fn with_secret(&self, request: RequestBuilder, secret: &SecretString) -> RequestBuilder {
        request.basic_auth(&self.machine.id, Some(secret.expose_secret()))
    }

    fn form(&self, path: &str, fields: &[(&str, &str)]) -> Option<RequestBuilder> {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        let request = self.post(path)?;
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        Some(request.body(form.finish()))
    }

    fn post(&self, path: &str) -> Option<RequestBuilder> {
        self.stage.api.post(path)
    }

    async fn call(&self, call: Call, request: Option<RequestBuilder>) -> Option<Answer> {
        let answer = self.stage.api.answer(request?).await;
        let answer = answer.map(|(answer, _)| answer);
        let status = answer.as_ref().map(|it| it.status);
        self.stage.ledger.call(call, status);
        answer
    }

    /// Waits for as long as the response says, and reports it the first time.
    fn heed(&mut self, answer: &Answer) {
        let limited = answer.status == 429;
        if let Some(seconds) = answer.retry_after.filter(|_| limited) {
            let for_long = seconds >= WORTH_WAITING;
            if for_long {
                self.waits_until = self.stage.elapsed() + LONGEST_WAIT;
            }
            match (self.told, for_long) {
                (Some(told), _) if told == for_long => {}
                (_, true) => self.tell("has used up its daily quota: rejected (429)"),
                (_, false) => self.tell(format_args!(
                    "is over its limit: rejected (429), retry in {seconds} s"
                )),
            }
            self.told = Some(for_long);
        }
        if !limited {
            self.told = None;
        }
    }

    fn tell(&self, what: impl Display) {
        self.stage.tell(&format!("{} {what}", self.machine.name()));
    }
}
