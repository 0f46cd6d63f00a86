//! The users of the service: they log in and out, mistype, come back, and change their passwords.

mod passwords;

use std::sync::Arc;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use reqwest::Method;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::chaos::{
    model::{EndTicket, Fate, Millis, Seen, UseTicket, Violation},
    rules::Scope,
    world::{Outcome, Request, World, now},
};

/// One of many users who act at the same time.
pub(crate) struct Person {
    pub(crate) world: Arc<World>,
    pub(crate) rng: StdRng,
}

/// Parses a time of a body into ms.
fn millis(text: &Value) -> Millis {
    let time = OffsetDateTime::parse(text.as_str().unwrap(), &Rfc3339).unwrap();
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap()
}

/// Returns what a response says about a request that changes something: done (this status), or nothing was changed.
pub(crate) fn fate(outcome: &Outcome, done: u16) -> Fate {
    match outcome.status() {
        0 | 503 => Fate::Unsure,
        status if status == done => Fate::Done,
        _ => Fate::Refused,
    }
}

impl Person {
    pub(crate) fn new(world: Arc<World>, seed: u64) -> Self {
        Self {
            world,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// Acts until stopped.
    pub(crate) async fn live(mut self) {
        loop {
            let world = Arc::clone(&self.world);
            {
                let _open = world.checkpoint_lock.read().await;
                self.act().await;
            }
            let pause = self.rng.random_range(0..20);
            tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
        }
    }

    async fn act(&mut self) {
        let name = match self.rng.random_range(0..100) {
            0..30 => self.log_in().await,
            30..34 => self.guess().await,
            34..78 => self.come_back(false).await,
            78..84 => self.come_back(true).await,
            84..92 => self.log_out().await,
            92..94 => self.end_others().await,
            94..98 => self.end_one().await,
            _ => self.change_password().await,
        };
        if let Some(name) = name {
            self.world.journal().count("operations", name);
        }
    }

    /// Returns a user other than the superuser who manages them.
    pub(crate) fn any_user(&mut self) -> usize {
        let users = self.world.model().accounts.len();
        self.rng.random_range(1..users)
    }

    /// Returns the number and the user of a session: one presumed alive, or one known to be dead.
    fn any_session(&mut self, dead: bool) -> Option<(u64, usize)> {
        let model = self.world.model();
        let all = model.held.iter();
        let of: Vec<_> = all
            .filter(|it| it.dead.is_some() == dead && it.user > 0)
            .collect();
        let at = self.rng.random_range(0..of.len().max(1));
        of.get(at).map(|it| (it.number, it.user))
    }

    async fn log_in(&mut self) -> Option<&'static str> {
        let user = self.any_user();
        let replaced = (self.rng.random_bool(0.15))
            .then(|| self.any_session(false))
            .flatten();
        // A browser sends only an old session of the same user.
        let replaced = replaced.filter(|(_, of)| *of == user);
        let replaced = replaced.map(|(number, _)| number);
        let remember = self.rng.random_bool(0.3);
        let password = {
            let model = self.world.model();
            let known = &model.accounts[user].passwords;
            known[self.rng.random_range(0..known.len())].clone()
        };
        self.log_in_with(user, password, remember, replaced).await;
        Some("login")
    }

    async fn guess(&mut self) -> Option<&'static str> {
        let user = self.any_user();
        let times = if self.rng.random_bool(0.3) { 6 } else { 1 };
        for _ in 0..times {
            self.log_in_with(user, "none-of-theirs".into(), false, None)
                .await;
        }
        Some(if times > 1 {
            "guesses until locked"
        } else {
            "wrong password"
        })
    }

    pub(crate) async fn log_in_with(
        &mut self,
        user: usize,
        password: String,
        remember: bool,
        replaced: Option<u64>,
    ) -> u16 {
        let replica = self.world.any(&mut self.rng);
        let (ticket, name) = {
            let mut model = self.world.model();
            let name = model.accounts[user].name.clone();
            let ticket = model.begin_login((user, password), replaced, now());
            (ticket, name)
        };
        let body = json!({"username": name, "password": ticket.password, "remember_me": remember});
        let cookie = ticket.cookie();
        let request = Request {
            method: Method::POST,
            path: "/api/login".into(),
            cookie: cookie.as_deref(),
            body: Some(body),
            address: u8::try_from(user).unwrap(),
        };
        let outcome = self.world.ask(replica, request).await;
        let status = outcome.status();
        let mut model = self.world.model();
        let result = match outcome {
            Outcome::Answer {
                status: 200,
                body,
                cookie: Some(cookie),
            } => {
                let session = &body["session"];
                let id = session["id"].as_str().unwrap().to_owned();
                let life = (remember, millis(&session["expires_at"]));
                model
                    .logged_in(&ticket, (id, cookie), life, now())
                    .map(drop)
            }
            Outcome::Answer { status: 200, .. } => Err("a login without a cookie".into()),
            Outcome::Answer {
                status: 401 | 429, ..
            } => model.not_logged_in(&ticket, (Fate::Refused, status), now()),
            Outcome::Broken | Outcome::Answer { status: 503, .. } => {
                model.not_logged_in(&ticket, (Fate::Unsure, status), now())
            }
            Outcome::Answer { .. } => Err(format!("a login got status {status}")),
        };
        drop(model);
        self.world.judge(result);
        status
    }

    async fn come_back(&mut self, dead: bool) -> Option<&'static str> {
        let (number, ..) = self.any_session(dead)?;
        self.check(number).await;
        Some(if dead {
            "use of a dead session"
        } else {
            "session check"
        })
    }

    /// Uses a session on any replica, and checks the response against the model.
    pub(crate) async fn check(&mut self, number: u64) -> Option<u16> {
        let replica = self.world.any(&mut self.rng);
        let (mut ticket, user) = {
            let mut model = self.world.model();
            let ticket = model.begin_use(number, now())?;
            (ticket, model.find(number)?.user)
        };
        let request = get("/api/session", &ticket.cookie, user);
        let outcome = self.world.ask(replica, request).await;
        let mut id = None;
        let seen = match &outcome {
            Outcome::Answer {
                status: 200, body, ..
            } => Seen::Live {
                id: id
                    .insert(body["session"]["id"].as_str().unwrap().to_owned())
                    .clone(),
                expires: millis(&body["session"]["expires_at"]),
                role: body["user"]["role"].as_str().unwrap().to_owned(),
            },
            Outcome::Answer { status: 401, .. } => Seen::Gone,
            Outcome::Answer { status: 503, .. } | Outcome::Broken => Seen::Unsure,
            Outcome::Answer { status, .. } => {
                let violation = format!("a session check got status {status}");
                self.world.journal().violated(violation);
                Seen::Unsure
            }
        };
        let mut model = self.world.model();
        let mut result = Ok(());
        if let Some(cookie) = outcome.new_cookie() {
            result = model.renewed(&mut ticket, (id, cookie), None, now());
            self.world.journal().count("operations", "new key");
        }
        let result = result.and(model.used(&ticket, &seen, now()));
        drop(model);
        self.world.judge(result);
        Some(outcome.status())
    }

    /// Records what a response says about the key of the session that was used. `own` is the ending that the request
    /// caused.
    fn keep_key(
        &self,
        asked: &mut UseTicket,
        outcome: &Outcome,
        own: Option<&EndTicket>,
    ) -> Result<(), Violation> {
        let Some(cookie) = outcome.new_cookie() else {
            return Ok(());
        };
        self.world.journal().count("operations", "new key");
        let mut model = self.world.model();
        model.renewed(asked, (None, cookie), own, now())
    }

    async fn log_out(&mut self) -> Option<&'static str> {
        let (number, user) = self.any_session(false)?;
        let request = (Method::POST, "/api/logout");
        self.end(number, (user, Scope::One(number), true), request)
            .await;
        Some("logout")
    }

    async fn end_others(&mut self) -> Option<&'static str> {
        let (number, user) = self.any_session(false)?;
        let request = (Method::DELETE, "/api/sessions?keep=current");
        self.end(number, (user, Scope::AllBut(number), false), request)
            .await;
        Some("revocation of one's others")
    }

    async fn end_one(&mut self) -> Option<&'static str> {
        let (asks, user) = self.any_session(false)?;
        let (number, id) = {
            let model = self.world.model();
            let own = model
                .held
                .iter()
                .filter(|it| it.user == user && it.dead.is_none() && !it.id.is_empty());
            let other = own.min_by_key(|it| it.number)?;
            (other.number, other.id.clone())
        };
        let path = format!("/api/sessions/{id}");
        let request = (Method::DELETE, path.as_str());
        self.end(asks, (user, Scope::One(number), false), request)
            .await;
        Some("revocation of one")
    }

    /// Sends a request that ends these sessions, with the cookie of the session `asks`, and records its outcome in the
    /// model.
    async fn end(
        &mut self,
        asks: u64,
        (user, scope, logout): (usize, Scope, bool),
        (method, path): (Method, &str),
    ) {
        let replica = self.world.any(&mut self.rng);
        let (ticket, mut asked) = {
            let mut model = self.world.model();
            let Some(asked) = model.begin_use(asks, now()) else {
                return;
            };
            (model.begin_end(user, scope, logout, now()), asked)
        };
        let request = Request {
            method,
            ..get(path, &asked.cookie, user)
        };
        let outcome = self.world.ask(replica, request).await;
        if !matches!(outcome.status(), 0 | 204 | 401 | 404 | 503) {
            let violation = format!("the end of a session got status {}", outcome.status());
            self.world.journal().violated(violation);
        }
        let fate = fate(&outcome, 204);
        let result = self.keep_key(&mut asked, &outcome, ticket.as_ref());
        {
            let mut model = self.world.model();
            model.touched(&asked, fate == Fate::Unsure, now());
            if let Some(ticket) = ticket {
                // It may have been ended earlier by a request whose response was lost.
                let lost = outcome.status() == 404;
                let fate = if lost { Fate::Unsure } else { fate };
                model.ended(&ticket, fate, now());
            }
        }
        self.world.judge(result);
        if outcome.new_cookie().is_some() {
            self.check(asks).await;
        }
    }
}

/// Returns a request of a user with this cookie.
pub(crate) fn get<'a>(path: &str, cookie: &'a str, user: usize) -> Request<'a> {
    Request {
        method: Method::GET,
        path: path.to_owned(),
        cookie: Some(cookie),
        body: None,
        address: u8::try_from(user).unwrap(),
    }
}
