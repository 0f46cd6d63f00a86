//! The model: the responses that clients got, and what follows from them. Some sessions must be dead, some may be, some must be
//! alive.
//!
//! All times are those of the machine, which all processes share: the moment before a request was sent and the moment
//! after its response was read. The service acted in between. A request without a response ("unsure") may take effect
//! until the next time that everything is quiet.

mod keys;
mod logins;

use crate::chaos::rules::{Account, Ending, Held, LoginTry, Scope, Settings};

/// Milliseconds since 1970.
pub(crate) type Millis = i64;

/// One sentence that describes how the service broke a rule.
pub(crate) type Violation = String;

/// Number of dead sessions that are kept, to be tried again.
const REMEMBERED_DEAD: usize = 1_500;
/// Longer than the life of any session: an ending before that cannot affect any.
const LOOK_BACK: Millis = 120_000;

/// A session check in progress.
#[derive(Debug)]
pub(crate) struct UseTicket {
    pub(crate) session: u64,
    /// The cookie to send with the request.
    pub(crate) cookie: String,
    generation: u64,
    sent: Millis,
    epoch: u64,
}

/// The result of a session check.
#[derive(Debug)]
pub(crate) enum Seen {
    Live {
        id: String,
        expires: Millis,
        role: String,
    },
    Gone,
    Unsure,
}

/// A request in progress that ends sessions.
#[derive(Debug)]
pub(crate) struct EndTicket {
    user: usize,
    id: u64,
    /// It ends exactly this session, as a logout does.
    logout: bool,
    /// It ends the session that has this key: session number and key generation.
    by_key: Option<(u64, u64)>,
}

/// What is known about a request that changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Done,
    Refused,
    Unsure,
}

/// Numbers of events.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bounds {
    pub(crate) started: u64,
    pub(crate) perhaps_started: u64,
    pub(crate) logged_out: u64,
    pub(crate) perhaps_logged_out: u64,
    /// Sessions whose new key may have been lost.
    pub(crate) perhaps_orphaned: u64,
}

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) settings: Settings,
    pub(crate) accounts: Vec<Account>,
    pub(crate) held: Vec<Held>,
    pub(crate) bounds: Bounds,
    next: u64,
}

impl Model {
    pub(crate) fn new(settings: Settings, accounts: Vec<Account>) -> Self {
        Self {
            settings,
            accounts,
            held: Vec::new(),
            bounds: Bounds::default(),
            next: 0,
        }
    }

    fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn index(&self, session: u64) -> Option<usize> {
        self.held.iter().position(|it| it.number == session)
    }

    pub(crate) fn find(&self, session: u64) -> Option<&Held> {
        self.held.iter().find(|it| it.number == session)
    }

    /// Records that a request with this session's cookie is about to be sent.
    pub(crate) fn begin_use(&mut self, session: u64, now: Millis) -> Option<UseTicket> {
        let index = self.index(session)?;
        let held = &mut self.held[index];
        held.pending += 1;
        Some(UseTicket {
            session,
            cookie: held.cookie.clone(),
            generation: held.key.generation,
            sent: now,
            epoch: self.accounts[held.user].epoch,
        })
    }

    /// Records a response that says nothing about the session itself: the request may have extended it.
    pub(crate) fn touched(&mut self, ticket: &UseTicket, unsure: bool, now: Millis) {
        if let Some(index) = self.index(ticket.session) {
            let held = &mut self.held[index];
            held.pending -= 1;
            held.last_use = held.last_use.max(now);
            held.unsure_use |= unsure;
            if unsure {
                held.key.unsure = Some(false);
            }
        }
    }

    /// Records the response to a session check.
    pub(crate) fn used(
        &mut self,
        ticket: &UseTicket,
        seen: &Seen,
        now: Millis,
    ) -> Result<(), Violation> {
        let Some(index) = self.index(ticket.session) else {
            return Ok(());
        };
        self.held[index].pending -= 1;
        let held = &self.held[index];
        let account = &self.accounts[held.user];
        let who = format!("session {} of {}", held.id, account.name);
        match seen {
            Seen::Unsure => {
                let held = &mut self.held[index];
                held.unsure_use = true;
                held.key.unsure = Some(false);
            }
            Seen::Live { id, expires, role } => {
                if let Some(why) = self.must_be_dead(held, ticket.sent) {
                    return Err(format!("{who} was accepted although {why}"));
                }
                let strict = account.epoch == ticket.epoch && account.roles.len() == 1;
                if strict && !account.roles.contains(role) {
                    return Err(format!(
                        "{who} has the role {role}, its account {}",
                        account.roles[0]
                    ));
                }
                if ticket.generation == held.key.generation {
                    self.seen_with_key(index, ticket, strict, id)?;
                }
                let held = &mut self.held[index];
                held.expires = held.expires.max(*expires);
                held.last_use = held.last_use.max(now);
                held.seen = held.seen.max(ticket.sent);
            }
            // Another response has set another key meanwhile.
            Seen::Gone if ticket.generation != held.key.generation => {}
            // Another response may set another key.
            Seen::Gone if held.key.may_change && held.pending > 0 => {
                self.held[index].key.contested = Some(now);
            }
            Seen::Gone => {
                if !self.may_be_dead(held, now) {
                    let left = held.expires - now;
                    return Err(format!(
                        "{who} is gone for no reason, {left} ms before its end"
                    ));
                }
                self.bounds.perhaps_orphaned += u64::from(held.key.may_be_lost());
                self.held[index].dead.get_or_insert(now);
            }
        }
        Ok(())
    }

    /// Records that a request that ends these sessions is about to be sent. `None` if there is none to end.
    pub(crate) fn begin_end(
        &mut self,
        user: usize,
        scope: Scope,
        logout: bool,
        now: Millis,
    ) -> Option<EndTicket> {
        if let Scope::One(session) = scope {
            let held = self.find(session)?;
            let by_key = logout.then_some((session, held.key.generation));
            // Only a session that would have lived on shows whether the logout ended it.
            let surely = logout && !self.may_be_dead(held, now + self.settings.margin);
            self.bounds.perhaps_logged_out += u64::from(logout);
            let ticket = self.push_ending(user, scope, now);
            return Some(EndTicket {
                logout: surely,
                by_key,
                ..ticket
            });
        }
        Some(self.push_ending(user, scope, now))
    }

    fn push_ending(&mut self, user: usize, scope: Scope, now: Millis) -> EndTicket {
        let id = self.next();
        self.accounts[user].endings.push(Ending {
            id,
            scope,
            perhaps: None,
            sent: now,
            closed: None,
        });
        EndTicket {
            user,
            id,
            logout: false,
            by_key: None,
        }
    }

    /// Records the outcome of that request.
    pub(crate) fn ended(&mut self, ticket: &EndTicket, fate: Fate, now: Millis) {
        let EndTicket {
            user, id, logout, ..
        } = *ticket;
        let missed = self.may_have_missed(ticket);
        let endings = &mut self.accounts[user].endings;
        let Some(at) = endings.iter().position(|it| it.id == id) else {
            return;
        };
        match fate {
            Fate::Unsure => {}
            Fate::Refused => drop(endings.remove(at)),
            Fate::Done => {
                endings[at].closed = Some(now);
                if missed {
                    return;
                }
                let ending = endings[at].clone();
                // Another request may have ended it since this request was sent.
                let others =
                    |it: &Ending| it.id != id && it.closed.is_none_or(|at| at >= ending.sent);
                let account = &self.accounts[user];
                let evicts =
                    |it: &Held| ending.scope.takes(it.number) && self.may_be_evicted(account, it);
                let alone = !account.endings.iter().any(others) && !self.held.iter().any(evicts);
                for held in self.held.iter_mut().filter(|it| it.user == user) {
                    if ending.scope.takes(held.number) && held.answered <= ending.sent {
                        let in_time = held.dead.is_none() && held.expires > now;
                        self.bounds.logged_out += u64::from(logout && alone && in_time);
                        let dead = held.dead.get_or_insert(now);
                        *dead = (*dead).min(now);
                    }
                }
            }
        }
    }

    /// Settles unsure requests while everything is quiet: each has happened by now, or never will.
    pub(crate) fn settle(&mut self, now: Millis) {
        for account in &mut self.accounts {
            for ending in &mut account.endings {
                ending.closed.get_or_insert(now);
            }
            for login in &mut account.logins {
                login.answered.get_or_insert(now);
            }
            account
                .endings
                .retain(|it| it.closed > Some(now - LOOK_BACK));
            account
                .logins
                .retain(|it| it.answered > Some(now - LOOK_BACK));
            if account.passwords.len() > 1 {
                account.quiet_since = Some(now);
            }
        }
        for held in &mut self.held {
            if std::mem::take(&mut held.unsure_use) {
                held.last_use = now;
            }
            held.key.unsure = held.key.unsure.map(|_| true);
        }
        let dead = self.held.iter().filter(|it| it.dead.is_some()).count();
        let mut surplus = dead.saturating_sub(REMEMBERED_DEAD);
        self.held.retain(|it| {
            let forget = it.dead.is_some() && surplus > 0;
            surplus -= usize::from(forget);
            !forget
        });
    }

    /// Returns why a session cannot be live when a request is sent now.
    pub(crate) fn must_be_dead(&self, held: &Held, sent: Millis) -> Option<&'static str> {
        if held.dead.is_some_and(|it| it < sent) {
            return Some("it has ended");
        }
        if held.ends < sent {
            return Some("it is past its maximum lifetime");
        }
        let unused = !held.remembered && !held.unsure_use && held.pending == 0;
        (unused && held.last_use + self.settings.idle < sent).then_some("it was idle for too long")
    }

    /// Returns whether a session may be dead when a response arrives now.
    pub(crate) fn may_be_dead(&self, held: &Held, answered: Millis) -> bool {
        let account = &self.accounts[held.user];
        held.dead.is_some()
            || held.key.contested.is_some()
            || held.key.may_be_lost()
            || held.expires <= answered
            || account.endings.iter().any(|it| {
                let in_time = it.sent <= answered && it.closed.is_none_or(|at| at >= held.seen);
                in_time && it.may_take(held.number)
            })
            || self.may_be_evicted(account, held)
    }

    /// Returns whether enough logins may have followed its own to evict it.
    fn may_be_evicted(&self, account: &Account, held: &Held) -> bool {
        let later = |it: &&LoginTry| {
            it.number != held.login && it.answered.is_none_or(|at| at >= held.sent)
        };
        let recent = |it: &LoginTry| it.answered.is_none_or(|at| at >= held.seen);
        // Its own login does not count, and the login that evicted it came after the session was last seen.
        account.logins.iter().filter(later).count() >= self.settings.per_user
            && account.logins.iter().any(recent)
    }
}
