//! The operator: a superuser who creates the accounts and services, changes them from time to time, and lists the
//! sessions.

mod sweep;

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use futures_util::{StreamExt, stream};
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

pub(super) use self::sweep::Made;

use super::{
    acts::Order,
    api::{Answer, Api, Browser, Credentials, Request, Site},
    cast::{Cast, Person},
    machines::{Machine, OVERLAP},
    summary::Enumerated,
};
use crate::accounts::Role;

/// Number of accounts created concurrently: each costs the service a password hash.
const AT_ONCE: usize = 2;

/// Number of entries per page of a list.
const PAGE: usize = 100;

/// A superuser who is logged in.
#[derive(Clone, Debug)]
pub(super) struct Operator {
    api: Api,
    browser: Browser,
    credentials: Credentials,
    /// The IDs of the accounts that were created, in the order of the cast.
    accounts: Vec<String>,
    /// The machines that were registered.
    machines: Vec<Machine>,
}

/// An account in a response of the API.
#[derive(Debug, Deserialize)]
struct User {
    id: String,
    username: String,
}

/// A session in the list.
#[derive(Debug, Deserialize)]
struct Listed {
    user: Owner,
}

#[derive(Debug, Deserialize)]
struct Owner {
    id: String,
    role: Role,
}

/// A page of the list.
#[derive(Debug, Deserialize)]
struct Page {
    sessions: Vec<Listed>,
    next_cursor: Option<String>,
}

/// The list of services.
#[derive(Debug, Deserialize)]
struct Services {
    services: Vec<Service>,
}

/// A service in the list.
#[derive(Debug, Deserialize)]
struct Service {
    id: String,
    description: String,
    health: String,
}

impl Operator {
    /// Logs a superuser in.
    ///
    /// # Errors
    ///
    /// If the service does not respond, or not with 200.
    pub(super) async fn log_in(api: Api, credentials: Credentials) -> anyhow::Result<Self> {
        let mut operator = Self {
            api,
            browser: Browser::new("skriptoteket-demo", None),
            credentials,
            accounts: Vec::new(),
            machines: Vec::new(),
        };
        match operator.log_in_again().await.map(|it| it.status) {
            Some(200) => Ok(operator),
            Some(401) => bail!("the superuser's name or password is wrong"),
            Some(status) => bail!("the superuser's login failed with status {status}"),
            None => {
                let silence = operator.api.reach().silence();
                let cause = silence.map(|(_, cause)| cause).unwrap_or_default();
                bail!("the superuser's login got no response: {cause}")
            }
        }
    }

    async fn log_in_again(&mut self) -> Option<Answer> {
        let (browser, credentials) = (&mut self.browser, &self.credentials);
        self.api.login(browser, credentials, false, Site::Own).await
    }

    /// Creates an account for each person of the cast, ready to log in, and registers the machines.
    ///
    /// # Errors
    ///
    /// If one cannot be created. [`Operator::sweep`] finds those that were.
    pub(super) async fn hire(&mut self, cast: &Cast) -> anyhow::Result<()> {
        let this = &*self;
        let made = stream::iter(&cast.people)
            .map(|person| async move { this.clone().make_account(person).await })
            .buffered(AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        let mut failure = None;
        for result in made {
            match result {
                Ok(id) => self.accounts.push(id),
                Err(error) => failure = Some(error),
            }
        }
        for machine in &cast.machines {
            self.register(machine).await?;
        }
        failure.map_or(Ok(()), Err)
    }

    async fn register(&mut self, machine: &Machine) -> anyhow::Result<()> {
        let request = Request {
            method: Method::POST,
            path: "api/admin/services",
            body: Some(machine.registration()),
            expected: &[201],
        };
        let answer = self.send(request).await.context("no answer")?;
        match answer.status {
            201 => self.machines.push(machine.clone()),
            409 => bail!(
                "a service with the name of one of the demo's exists, or max_services is reached"
            ),
            status => bail!("a request for a new service failed with status {status}"),
        }
        let taken = machine.take_secret(std::future::ready(secret_of(&answer)));
        taken.await.context("a new service has no secret")
    }

    /// Rotates the secret of a machine.
    async fn rotate(&mut self, place: usize) -> Option<String> {
        let machine = self.machines.get(place)?.clone();
        // A rotation must not be rejected because the overlap of the previous one has not ended.
        let rotation = json!({ "overlap_seconds": OVERLAP.as_secs(), "force": true });
        let path = format!("api/admin/services/{}/rotate", machine.id());
        let request = Request {
            method: Method::POST,
            path: &path,
            body: Some(rotation),
            expected: &[200],
        };
        let secret = async { secret_of(&self.send(request).await?) };
        machine.take_secret(secret).await?;
        Some(format!(
            "{} has a new secret; the old one is accepted for {} s",
            machine.name(),
            OVERLAP.as_secs()
        ))
    }

    async fn make_account(mut self, person: &Person) -> anyhow::Result<String> {
        let account = json!({
            "username": person.name,
            "password": person.password.expose_secret(),
            "role": person.role,
        });
        let request = Request {
            method: Method::POST,
            path: "api/admin/users",
            body: Some(account),
            expected: &[201],
        };
        let answer = self.send(request).await.context("no answer")?;
        match answer.status {
            201 => read::<User>(answer.body).map(|user| user.id),
            403 => bail!(
                "the account is not a superuser's: only a superuser can create the demo's accounts"
            ),
            409 => bail!("an account with the name of one of the demo's exists"),
            status => bail!("a request for a new account failed with status {status}"),
        }
    }

    async fn list<T: for<'de> Deserialize<'de>>(&mut self, path: &str) -> anyhow::Result<T> {
        let answer = self.send(Request::get(path, &[200])).await;
        let answer = answer.with_context(|| format!("no response from /{path}"))?;
        anyhow::ensure!(
            answer.status == 200,
            "/{path} failed with status {}",
            answer.status
        );
        read(answer.body)
    }

    pub(super) async fn log_out(mut self) {
        let request = Request {
            method: Method::POST,
            path: "api/logout",
            body: None,
            expected: &[204],
        };
        self.api.send(&mut self.browser, request).await;
    }

    /// Carries out an order. Returns a message for the journal, or nothing if it failed.
    pub(super) async fn carry_out(&mut self, order: Order) -> Option<String> {
        let (person, method, rest, body, news) = match order {
            Order::LookAround => {
                let request = Request::get("api/admin/sessions?limit=20", &[200]);
                self.send(request).await;
                return None;
            }
            Order::RotateSecret(place) => return self.rotate(place).await,
            Order::Revoke(person) => {
                let news = String::from("all sessions of one account were revoked");
                (person, Method::DELETE, "/sessions", None, news)
            }
            Order::ChangeRole(person, role) => {
                let news = format!("an account got the role {role}; its sessions follow");
                let change = json!({ "role": role });
                (person, Method::PATCH, "", Some(change), news)
            }
            Order::SetDisabled(person, disabled) => {
                let news = if disabled {
                    "an account was disabled; its sessions ended"
                } else {
                    "the disabled account was enabled again"
                };
                let change = json!({ "disabled": disabled });
                (person, Method::PATCH, "", Some(change), news.to_owned())
            }
        };
        let account = self.accounts.get(person)?;
        let request = Request {
            method,
            path: &format!("api/admin/users/{account}{rest}"),
            body,
            expected: &[200, 204],
        };
        let answer = self.send(request).await?;
        matches!(answer.status, 200 | 204).then_some(news)
    }

    /// Counts all live sessions by listing them, page by page, and all active services.
    ///
    /// # Errors
    ///
    /// If there is no response, or it is not a page.
    pub(super) async fn enumerate(&mut self) -> anyhow::Result<Enumerated> {
        let mut counted = Enumerated {
            services: self.active_services().await?,
            ..Enumerated::default()
        };
        let mut seen = BTreeSet::new();
        let mut cursor = None;
        loop {
            let path = paged("api/admin/sessions", cursor.as_deref());
            let page: Page = self.list(&path).await?;
            for Listed { user } in page.sessions {
                let role = user.role.index();
                counted.sessions[role] += 1;
                counted.users[role] += u64::from(seen.insert(user.id));
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(counted);
            }
        }
    }

    async fn active_services(&mut self) -> anyhow::Result<u64> {
        let list: Services = self.list("api/admin/services").await?;
        let active = |it: &&Service| matches!(it.health.as_str(), "healthy" | "degraded");
        Ok(list.services.iter().filter(active).count() as u64)
    }

    /// Sends a request; if the operator's session has ended, under a new one.
    async fn send(&mut self, request: Request<'_>) -> Option<Answer> {
        let expected = [request.expected, &[401]].concat();
        let first = Request {
            expected: &expected,
            ..request.clone()
        };
        let answer = self.api.send(&mut self.browser, first).await?;
        if answer.status != 401 {
            return Some(answer);
        }
        self.log_in_again().await?;
        self.api.send(&mut self.browser, request).await
    }
}

/// Returns the path of a page of a list.
fn paged(path: &str, cursor: Option<&str>) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &PAGE.to_string());
    if let Some(cursor) = cursor {
        query.append_pair("cursor", cursor);
    }
    format!("{path}?{}", query.finish())
}

/// Returns the new secret of a service.
fn secret_of(answer: &Answer) -> Option<SecretString> {
    answer.body["client_secret"].as_str().map(Into::into)
}

fn read<T: for<'de> Deserialize<'de>>(body: Value) -> anyhow::Result<T> {
    serde_json::from_value(body).context("a response of the API cannot be decoded")
}
