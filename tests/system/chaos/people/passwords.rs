//! Password changes.

use rand::RngExt;
use reqwest::Method;
use serde_json::json;

use super::{Person, fate, get, millis};
use crate::chaos::{
    model::{Fate, Millis},
    rules::Scope,
    world::{Outcome, Request, now},
};

impl Person {
    pub(super) async fn change_password(&mut self) -> Option<&'static str> {
        let (number, user) = self.any_session(false)?;
        let new = format!(
            "quarry-{}-lantern-tundra",
            self.rng.random_range(100_000..999_999)
        );
        let (ticket, started, mut asked, old, remembered) = {
            let mut model = self.world.model();
            let remembered = model.find(number)?.remembered;
            let asked = model.begin_use(number, now())?;
            let account = &mut model.accounts[user];
            if account.busy || account.passwords.len() > 1 {
                model.touched(&asked, false, now());
                return None;
            }
            account.busy = true;
            account.epoch += 1;
            let old = account.passwords[0].clone();
            account.passwords.push(new.clone());
            // It ends all sessions, including this one, and starts a new one.
            let ticket = model.begin_end(user, Scope::All, false, now())?;
            let started = model.begin_login((user, new.clone()), None, now());
            (ticket, started, asked, old, remembered)
        };
        let request = Request {
            method: Method::POST,
            body: Some(json!({"current": old, "new": new})),
            ..get("/api/password", &asked.cookie, user)
        };
        let replica = self.world.any(&mut self.rng);
        let outcome = self.world.ask(replica, request).await;
        if !matches!(outcome.status(), 0 | 204 | 401 | 403 | 429 | 503) {
            let violation = format!("a password change got status {}", outcome.status());
            self.world.journal().violated(violation);
        }
        let fate = fate(&outcome, 204);
        let new_session = self.issued(&outcome, user).await;
        let kept = match outcome.status() {
            204 => Ok(()),
            _ => self.keep_key(&mut asked, &outcome, Some(&ticket)),
        };
        let mut model = self.world.model();
        let account = &mut model.accounts[user];
        account.epoch += 1;
        match fate {
            Fate::Done => account.passwords = vec![new],
            Fate::Refused => account.passwords.truncate(1),
            Fate::Unsure => {}
        }
        account.busy = fate == Fate::Unsure;
        model.touched(&asked, fate == Fate::Unsure, now());
        model.ended(&ticket, fate, now());
        let result = match (fate, new_session) {
            (Fate::Done, Some((names, expires))) => model
                .logged_in(&started, names, (remembered, expires), now())
                .map(drop),
            (Fate::Refused, _) => model.not_logged_in(&started, (fate, 403), now()),
            _ => model.not_logged_in(&started, (Fate::Unsure, 0), now()),
        };
        drop(model);
        self.world.judge(kept.and(result));
        Some("password change")
    }

    /// Returns the id, cookie and expiry of the session whose cookie a response has set, if it is alive and this can be
    /// known.
    async fn issued(
        &mut self,
        outcome: &Outcome,
        user: usize,
    ) -> Option<((String, String), Millis)> {
        let Outcome::Answer {
            status: 204,
            cookie: Some(cookie),
            ..
        } = outcome
        else {
            return None;
        };
        let replica = self.world.any(&mut self.rng);
        let shown = self
            .world
            .ask(replica, get("/api/session", cookie, user))
            .await;
        // It may have been promoted already.
        let cookie = &shown.new_cookie().unwrap_or_else(|| cookie.clone());
        match shown {
            Outcome::Answer {
                status: 200, body, ..
            } => {
                let session = &body["session"];
                let id = session["id"].as_str().unwrap().to_owned();
                Some(((id, cookie.clone()), millis(&session["expires_at"])))
            }
            _ => None,
        }
    }
}
