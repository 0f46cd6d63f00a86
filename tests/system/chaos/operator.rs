//! The superuser who manages the other accounts through any replica: roles, disabled accounts, revocations.

use std::{sync::Arc, time::Duration};

use rand::{RngExt, rngs::StdRng};
use reqwest::Method;
use serde_json::{Value, json};
use skriptoteket_testing::service::PASSWORD;

use crate::chaos::{
    model::Fate,
    people::{Person, fate, get},
    rules::{Account, Scope},
    world::{Outcome, Request, World, now},
};

pub(crate) const ROLES: [&str; 4] = ["user", "contributor", "admin", "superuser"];

/// The index of the superuser among the accounts.
pub(crate) const ADMIN: usize = 0;

/// A busy machine may exceed the store timeout while nothing is wrong.
const TRIES: u32 = 5;

/// A superuser who manages accounts.
pub(crate) struct Operator {
    person: Person,
}

impl Operator {
    pub(crate) fn new(world: Arc<World>, seed: u64) -> Self {
        Self {
            person: Person::new(world, seed),
        }
    }

    /// Acts until stopped.
    pub(crate) async fn work(mut self) {
        loop {
            let world = Arc::clone(&self.person.world);
            {
                let _open = world.checkpoint_lock.read().await;
                let name = match self.person.rng.random_range(0..10) {
                    0..5 => self.change_role().await,
                    5..8 => self.disable_or_enable().await,
                    _ => self.revoke().await,
                };
                if let Some(name) = name {
                    world.journal().count("operations", name);
                }
            }
            let pause = self.person.rng.random_range(20..150);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    /// Returns the superuser's session, after a login if there is no usable one.
    async fn session(&mut self) -> Option<u64> {
        for _ in 0..2 {
            let held = {
                let model = self.person.world.model();
                let own = model.held.iter().rev();
                let live = own.filter(|it| it.user == ADMIN && it.dead.is_none());
                let usable = live.filter(|it| it.expires > now() + 1_000);
                usable.map(|it| it.number).next()
            };
            if held.is_some() {
                return held;
            }
            self.person
                .log_in_with(ADMIN, PASSWORD.into(), false, None)
                .await;
        }
        None
    }

    /// Sends a request as the superuser.
    async fn ask(&mut self, method: Method, path: &str, body: Option<Value>) -> Outcome {
        let Some(number) = self.session().await else {
            return Outcome::Broken;
        };
        let replica = self.person.world.any(&mut self.person.rng);
        let used = self.person.world.model().begin_use(number, now());
        let Some(used) = used else {
            return Outcome::Broken;
        };
        let request = Request {
            method,
            body,
            ..get(path, &used.cookie, ADMIN)
        };
        let outcome = self.person.world.ask(replica, request).await;
        let status = outcome.status();
        let mut model = self.person.world.model();
        // The superuser is never promoted.
        let mut result = match outcome.new_cookie() {
            Some(_) => Err("the superuser got a new key".into()),
            None => Ok(()),
        };
        if status == 401 {
            result = result.and(model.used(&used, &crate::chaos::model::Seen::Gone, now()));
        } else {
            model.touched(&used, matches!(status, 0 | 503), now());
        }
        drop(model);
        self.person.world.judge(result);
        outcome
    }

    /// Picks an account that no other request is changing, and marks it as being changed.
    fn begin(&mut self, change: impl FnOnce(&mut Account)) -> Option<(usize, String)> {
        let user = self.person.any_user();
        self.begin_with(user, change)
    }

    /// Like `begin`, but picks the first disabled account when one is about to be enabled.
    fn begin_where(
        &mut self,
        enable: bool,
        change: impl FnOnce(&mut Account),
    ) -> Option<(usize, String)> {
        let disabled = |it: &Account| it.is_surely_disabled() && !it.busy;
        let first = self.person.world.model().accounts.iter().position(disabled);
        let user = first
            .filter(|_| enable)
            .unwrap_or_else(|| self.person.any_user());
        self.begin_with(user, change)
    }

    fn begin_with(
        &mut self,
        user: usize,
        change: impl FnOnce(&mut Account),
    ) -> Option<(usize, String)> {
        let mut model = self.person.world.model();
        let account = &mut model.accounts[user];
        if account.busy {
            return None;
        }
        account.busy = true;
        account.epoch += 1;
        change(account);
        Some((user, account.id.clone()))
    }

    async fn change(&mut self, id: &str, change: Value) -> Fate {
        let path = format!("/api/admin/users/{id}");
        let outcome = self.ask(Method::PATCH, &path, Some(change)).await;
        if !matches!(outcome.status(), 0 | 200 | 401 | 503) {
            let violation = format!("an account change got status {}", outcome.status());
            self.person.world.journal().violated(violation);
        }
        fate(&outcome, 200)
    }

    async fn change_role(&mut self) -> Option<&'static str> {
        let role = ROLES[self.person.rng.random_range(0..4)];
        let (user, id) = self.begin(|account| account.roles.push(role.into()))?;
        self.person.world.model().begin_role(user, role);
        let fate = self.change(&id, json!({"role": role})).await;
        let mut model = self.person.world.model();
        let account = &mut model.accounts[user];
        account.epoch += 1;
        match fate {
            Fate::Done => account.roles = vec![role.into()],
            Fate::Refused => account.roles.truncate(1),
            Fate::Unsure => {}
        }
        account.busy = fate == Fate::Unsure;
        if fate == Fate::Done {
            model.role_is(user, role);
        }
        Some("role change")
    }

    async fn disable_or_enable(&mut self) -> Option<&'static str> {
        // Few are disabled at the same time.
        let enable = {
            let model = self.person.world.model();
            let disabled = model.accounts.iter().filter(|it| !it.is_surely_enabled());
            disabled.count() > 6
        };
        let mut disable = true;
        let (user, id) = self.begin_where(enable, |account| {
            disable = account.is_surely_enabled();
            account.disabled.push(disable);
        })?;
        let ticket = {
            let mut model = self.person.world.model();
            disable
                .then(|| model.begin_end(user, Scope::All, false, now()))
                .flatten()
        };
        let fate = self.change(&id, json!({"disabled": disable})).await;
        let mut model = self.person.world.model();
        let account = &mut model.accounts[user];
        account.epoch += 1;
        match fate {
            Fate::Done => account.disabled = vec![disable],
            Fate::Refused => account.disabled.truncate(1),
            Fate::Unsure => {}
        }
        account.busy = fate == Fate::Unsure;
        if let Some(ticket) = ticket {
            model.ended(&ticket, fate, now());
        }
        Some(if disable {
            "disabled account"
        } else {
            "enabled account"
        })
    }

    async fn revoke(&mut self) -> Option<&'static str> {
        let user = self.person.any_user();
        let (ticket, id) = {
            let mut model = self.person.world.model();
            let ticket = model.begin_end(user, Scope::All, false, now())?;
            (ticket, model.accounts[user].id.clone())
        };
        let path = format!("/api/admin/users/{id}/sessions");
        let outcome = self.ask(Method::DELETE, &path, None).await;
        if !matches!(outcome.status(), 0 | 204 | 401 | 503) {
            let violation = format!("a revocation got status {}", outcome.status());
            self.person.world.journal().violated(violation);
        }
        self.person
            .world
            .model()
            .ended(&ticket, fate(&outcome, 204), now());
        Some("revocation of a user")
    }

    /// Creates all accounts of the run.
    pub(crate) async fn make_accounts(&mut self, users: usize) {
        for n in 0..users {
            let (name, role) = (format!("user{n}"), ROLES[n % 4]);
            let body = json!({"username": name, "password": PASSWORD, "role": role});
            let id = loop {
                let body = Some(body.clone());
                match self.ask(Method::POST, "/api/admin/users", body).await {
                    Outcome::Answer {
                        status: 201, body, ..
                    } => break body["id"].as_str().unwrap().to_owned(),
                    // A busy machine may be too slow; then the account may or may not have been created.
                    Outcome::Answer { status: 503, .. } => {}
                    Outcome::Answer { status: 409, .. } => {
                        if let Some(id) = self.id_of(&name).await {
                            break id;
                        }
                    }
                    other => panic!("the account was not created: {other:?}"),
                }
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            };
            let account = Account::new(name, id, role, PASSWORD);
            self.person.world.model().accounts.push(account);
        }
    }

    /// Returns the id of an account, if the request for the list succeeds.
    async fn id_of(&mut self, name: &str) -> Option<String> {
        let path = "/api/admin/users?limit=200";
        let Outcome::Answer { body, .. } = self.ask(Method::GET, path, None).await else {
            return None;
        };
        let mut users = body["users"].as_array()?.iter();
        let user = users.find(|it| it["username"] == name)?;
        user["id"].as_str().map(str::to_owned)
    }

    /// Reads the accounts while all is quiet. What the model knows must hold; it learns the rest.
    pub(crate) async fn review_accounts(&mut self) -> Result<(), String> {
        let outcome = self
            .ask(Method::GET, "/api/admin/users?limit=200", None)
            .await;
        let Outcome::Answer {
            status: 200, body, ..
        } = outcome
        else {
            return Err(format!("the accounts cannot be listed: {outcome:?}"));
        };
        let mut model = self.person.world.model();
        for user in body["users"].as_array().unwrap() {
            let role = user["role"].as_str().unwrap().to_owned();
            let disabled = user["disabled"].as_bool().unwrap();
            let named = |it: &&mut Account| it.name == user["username"];
            let Some(account) = model.accounts.iter_mut().find(named) else {
                return Err("there is an account that no client created".into());
            };
            let allowed = account.roles.contains(&role) && account.disabled.contains(&disabled);
            if !allowed {
                return Err(format!("{} is {role}, disabled: {disabled}", account.name));
            }
            account.roles = vec![role];
            account.disabled = vec![disabled];
            account.busy = false;
        }
        Ok(())
    }

    /// Learns, while all is quiet, the ids of sessions whose new key came in a response without an id.
    pub(crate) async fn learn_ids(&mut self) {
        let unknown: Vec<u64> = {
            let model = self.person.world.model();
            let all = model.held.iter().filter(|it| it.id.is_empty());
            let live = all.filter(|it| it.dead.is_none());
            live.map(|it| it.number).collect()
        };
        for number in unknown {
            self.check(number).await;
        }
    }

    async fn check(&mut self, number: u64) {
        let mut tries = 1;
        while let Some(0 | 503) = self.person.check(number).await {
            if tries == TRIES {
                let violation = String::from("a session cannot be checked while all is quiet");
                self.person.world.journal().violated(violation);
                break;
            }
            tries += 1;
        }
    }

    /// Checks, while all is quiet, every session that clients hold and some that have ended, through any replica.
    pub(crate) async fn check_sessions(&mut self, dead: usize) -> usize {
        let (live, mut ended): (Vec<u64>, Vec<u64>) = {
            let model = self.person.world.model();
            let of = |dead: bool| {
                let all = model
                    .held
                    .iter()
                    .filter(move |it| it.dead.is_some() == dead);
                all.map(|it| it.number).collect()
            };
            (of(false), of(true))
        };
        let surplus = ended.len().saturating_sub(dead);
        ended.drain(..surplus);
        let mut checked = 0;
        for number in live.into_iter().chain(ended) {
            self.check(number).await;
            checked += 1;
        }
        checked
    }
}

/// Returns operators and people, each with its own seed.
pub(crate) fn crowd(
    world: &Arc<World>,
    rng: &mut StdRng,
    people: usize,
) -> Vec<tokio::task::JoinHandle<()>> {
    let mut tasks: Vec<_> = (0..people)
        .map(|_| tokio::spawn(Person::new(Arc::clone(world), rng.random()).live()))
        .collect();
    tasks.push(tokio::spawn(
        Operator::new(Arc::clone(world), rng.random()).work(),
    ));
    tasks
}
