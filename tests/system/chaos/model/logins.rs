//! Logins: the responses that are allowed, and the sessions that they start.

use super::{EndTicket, Fate, Millis, Model, UseTicket, Violation};
use crate::chaos::rules::{Held, LoginTry, Scope};

/// A login in progress.
#[derive(Debug)]
pub(crate) struct LoginTicket {
    pub(crate) user: usize,
    pub(crate) password: String,
    sent: Millis,
    number: u64,
    at: usize,
    epoch: u64,
    right: bool,
    must_fail: bool,
    must_pass: bool,
    replaces: Option<EndTicket>,
    touches: Option<UseTicket>,
}

impl LoginTicket {
    /// Returns the cookie that is sent with the login.
    pub(crate) fn cookie(&self) -> Option<String> {
        self.touches.as_ref().map(|it| it.cookie.clone())
    }
}

impl Model {
    /// Records that a login with this password is about to be sent. It ends the session of the cookie that is sent
    /// along.
    pub(crate) fn begin_login(
        &mut self,
        (user, password): (usize, String),
        replaces: Option<u64>,
        now: Millis,
    ) -> LoginTicket {
        let touches = replaces.and_then(|it| self.begin_use(it, now));
        let replaces = replaces.and_then(|it| self.begin_end(user, Scope::One(it), true, now));
        let at = self.accounts[user].logins.len();
        let number = self.next();
        let account = &mut self.accounts[user];
        let right = account.passwords.contains(&password);
        if right {
            account.logins.push(LoginTry {
                number,
                answered: None,
            });
        }
        LoginTicket {
            user,
            sent: now,
            number,
            at,
            epoch: account.epoch,
            right,
            must_fail: !right || account.is_surely_disabled(),
            must_pass: right && account.is_surely_enabled() && account.passwords.len() == 1,
            password,
            replaces,
            touches,
        }
    }

    /// Records a 200 response.
    pub(crate) fn logged_in(
        &mut self,
        ticket: &LoginTicket,
        (id, cookie): (String, String),
        (remembered, expires): (bool, Millis),
        now: Millis,
    ) -> Result<u64, Violation> {
        self.bounds.started += 1;
        if let Some(touched) = &ticket.touches {
            self.touched(touched, false, now);
        }
        if let Some(replaced) = &ticket.replaces {
            self.ended(replaced, Fate::Done, now);
        }
        let account = &mut self.accounts[ticket.user];
        if ticket.must_fail && (!ticket.right || account.epoch == ticket.epoch) {
            let why = if ticket.right {
                "a disabled account"
            } else {
                "a wrong password"
            };
            return Err(format!("a login of {} succeeded with {why}", account.name));
        }
        account.logins[ticket.at].answered = Some(now);
        if account.quiet_since.is_some_and(|it| it < ticket.sent) && !account.busy {
            account.passwords = vec![ticket.password.clone()];
            account.quiet_since = None;
        }
        let changing = self.accounts[ticket.user].epoch != ticket.epoch;
        let key = self.new_key(ticket.user, changing);
        let number = self.next();
        let lifetime = self.settings.lifetime(remembered);
        self.held.push(Held {
            number,
            id,
            cookie,
            key,
            user: ticket.user,
            remembered,
            login: ticket.number,
            sent: ticket.sent,
            answered: now,
            seen: ticket.sent,
            expires,
            last_use: now,
            pending: 0,
            unsure_use: false,
            ends: now + lifetime,
            dead: None,
        });
        Ok(number)
    }

    /// Records any other response.
    pub(crate) fn not_logged_in(
        &mut self,
        ticket: &LoginTicket,
        (fate, status): (Fate, u16),
        now: Millis,
    ) -> Result<(), Violation> {
        // A correct password that was rejected with 401 may have had a session for a moment.
        let perhaps = ticket.right && (fate == Fate::Unsure || status == 401);
        self.bounds.perhaps_started += u64::from(perhaps);
        let kept = if fate == Fate::Unsure || status == 401 && ticket.right {
            Fate::Unsure
        } else {
            Fate::Refused
        };
        if let Some(touched) = &ticket.touches {
            self.touched(touched, fate == Fate::Unsure, now);
        }
        if let Some(replaced) = &ticket.replaces {
            self.ended(replaced, kept, now);
        }
        let account = &mut self.accounts[ticket.user];
        if ticket.right {
            let tried = &mut account.logins[ticket.at];
            // A login that was rejected before the password check cannot start a session.
            if fate == Fate::Refused {
                tried.answered = Some(if perhaps { now } else { Millis::MIN });
            }
        }
        if status == 401 && ticket.must_pass && account.epoch == ticket.epoch {
            return Err(format!(
                "the correct password of {} was rejected",
                account.name
            ));
        }
        Ok(())
    }
}
