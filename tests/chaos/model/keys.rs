//! The keys of sessions: which may be replaced by a request, which must have been, and what a request with an old one does.

use super::{EndTicket, Millis, Model, UseTicket, Violation};
use crate::{
    operator::ROLES,
    rules::{Key, Scope},
};

fn place(role: &str) -> usize {
    ROLES.iter().position(|it| *it == role).unwrap()
}

impl Key {
    /// A request without an answer may have given the session another one.
    pub(crate) const fn may_be_lost(&self) -> bool {
        self.may_change && self.unsure.is_some()
    }
}

impl Model {
    /// What a key that is issued now may be worth; with `changing` the account may have had any role lately.
    pub(super) fn new_key(&self, user: usize, changing: bool) -> Key {
        let roles = &self.accounts[user].roles;
        let places = || roles.iter().map(|it| place(it));
        let (lowest, highest) = (places().min().unwrap(), places().max().unwrap());
        Key {
            lowest: if changing { 0 } else { lowest },
            highest: if changing { ROLES.len() } else { highest },
            may_change: changing || roles.len() > 1,
            ..Key::default()
        }
    }

    /// A request is about to be sent that gives the user this role.
    pub(crate) fn begin_role(&mut self, user: usize, role: &str) {
        let role = place(role);
        for held in self.held.iter_mut().filter(|it| it.user == user) {
            held.key.may_change |= role > held.key.lowest;
            held.key.lowest = held.key.lowest.min(role);
        }
    }

    /// It was done: so it was by all sessions of then.
    pub(crate) fn role_is(&mut self, user: usize, role: &str) {
        let role = place(role);
        for held in self.held.iter_mut().filter(|it| it.user == user) {
            held.key.highest = held.key.highest.min(role);
        }
    }

    /// The answer to a request with this session's cookie has brought another one. `own` is what the request ends.
    pub(crate) fn renewed(
        &mut self,
        ticket: &mut UseTicket,
        (id, cookie): (Option<String>, String),
        own: Option<&EndTicket>,
        now: Millis,
    ) -> Result<(), Violation> {
        let Some(index) = self.index(ticket.session) else {
            return Ok(());
        };
        let (number, old) = (self.next(), self.held[index].clone());
        let account = &self.accounts[old.user];
        let who = format!("session {} of {}", old.id, account.name);
        if old.key.generation != ticket.generation {
            return Err(format!("{who} has got two keys for one"));
        }
        if !old.key.may_change {
            return Err(format!("{who} has got a new key for no reason"));
        }
        // What spares it by its old id may not have spared it.
        for ending in &mut self.accounts[old.user].endings {
            let crossed = ending.closed.is_none_or(|at| at >= ticket.sent);
            let is_own = own.is_some_and(|it| it.id == ending.id);
            if ending.scope == Scope::AllBut(old.number) && crossed && !is_own {
                ending.perhaps = Some(old.number);
            }
        }
        let changing = self.accounts[old.user].epoch != ticket.epoch;
        let key = self.new_key(old.user, changing);
        let held = &mut self.held[index];
        held.seen = held.seen.max(ticket.sent);
        held.id = id.unwrap_or_default();
        held.cookie = cookie;
        held.key = Key {
            generation: old.key.generation + 1,
            // The one before may have been found dead because of this one, or because the session was.
            contested: old.key.contested,
            ..key
        };
        ticket.generation = held.key.generation;
        // The old one is dead from here on, and is tried again.
        let mut dead = old;
        dead.number = number;
        dead.pending = 0;
        dead.dead.get_or_insert(now);
        self.held.push(dead);
        Ok(())
    }

    /// A session check was answered with the session, to whoever has its present key.
    pub(super) fn seen_with_key(
        &mut self,
        index: usize,
        ticket: &UseTicket,
        strict: bool,
        id: &str,
    ) -> Result<(), Violation> {
        let held = &self.held[index];
        let account = &self.accounts[held.user];
        let who = format!("session {} of {}", held.id, account.name);
        if !held.id.is_empty() && held.id != id {
            return Err(format!("{who} is {id} with the same cookie"));
        }
        if strict && place(&account.roles[0]) > held.key.highest {
            return Err(format!(
                "{who} is {} by a key from before",
                account.roles[0]
            ));
        }
        let held = &mut self.held[index];
        id.clone_into(&mut held.id);
        if held.key.contested.is_some_and(|at| at < ticket.sent) {
            held.key.contested = None;
        }
        if held.key.unsure == Some(true) {
            held.key.unsure = None;
        }
        Ok(())
    }

    /// Whether what ends the session of a key may have met none, because the session has got another key meanwhile.
    pub(super) fn may_have_missed(&self, ticket: &EndTicket) -> bool {
        let Some((session, generation)) = ticket.by_key else {
            return false;
        };
        self.find(session).is_some_and(|held| {
            let key = &held.key;
            let crossed = held.pending > 0 || key.unsure.is_some();
            key.generation != generation || key.may_change && crossed
        })
    }
}
