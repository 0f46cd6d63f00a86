//! Session keys: which keys a request may replace, which it must have replaced, and what a request with an old key
//! does.

use super::{EndTicket, Millis, Model, UseTicket, Violation};
use crate::chaos::{
    operator::ROLES,
    rules::{Key, Scope},
};

fn place(role: &str) -> usize {
    ROLES.iter().position(|it| *it == role).unwrap()
}

impl Key {
    /// Returns whether the current key may be lost: a request without a response may have given the session another
    /// one.
    pub(crate) const fn may_be_lost(&self) -> bool {
        self.may_change && self.unsure.is_some()
    }
}

impl Model {
    /// Returns a key issued now. With `changing`, the account may have had any of its recent roles.
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

    /// Records that a request that sets this role is about to be sent.
    pub(crate) fn begin_role(&mut self, user: usize, role: &str) {
        let role = place(role);
        for held in self.held.iter_mut().filter(|it| it.user == user) {
            held.key.may_change |= role > held.key.lowest;
            held.key.lowest = held.key.lowest.min(role);
        }
    }

    /// Records that the role was set, and with it the role of all sessions that existed at that time.
    pub(crate) fn role_is(&mut self, user: usize, role: &str) {
        let role = place(role);
        for held in self.held.iter_mut().filter(|it| it.user == user) {
            held.key.highest = held.key.highest.min(role);
        }
    }

    /// Records that a response to a request with this session's cookie set another one. `own` is the ending that the
    /// request caused.
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
            return Err(format!("{who} got a second key for the same old key"));
        }
        if !old.key.may_change {
            return Err(format!("{who} got a new key for no reason"));
        }
        // A request that spares the session by its old id may not have spared it.
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
            // The previous key may have been found dead because of this one, or because the session was dead.
            contested: old.key.contested,
            ..key
        };
        ticket.generation = held.key.generation;
        // The old key is dead from now on. It is tried again.
        let mut dead = old;
        dead.number = number;
        dead.pending = 0;
        dead.dead.get_or_insert(now);
        self.held.push(dead);
        Ok(())
    }

    /// Records a session check that found the session, for the holder of its current key.
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
            return Err(format!("{who} has the id {id} with the same cookie"));
        }
        if strict && place(&account.roles[0]) > held.key.highest {
            return Err(format!(
                "{who} has the role {} with a key issued before",
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

    /// Returns whether a request that ends the session of a key may have found none, because the session got another
    /// key meanwhile.
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
