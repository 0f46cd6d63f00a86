//! What the model knows about accounts, sessions, and requests that end sessions.

use crate::chaos::model::Millis;

/// The configuration of the service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) idle: Millis,
    pub(crate) absolute: Millis,
    pub(crate) remember: Millis,
    pub(crate) per_user: usize,
    /// Maximum time of a request that gets a response.
    pub(crate) margin: Millis,
}

impl Settings {
    pub(crate) const fn lifetime(&self, remembered: bool) -> Millis {
        if remembered {
            self.remember
        } else {
            self.absolute
        }
    }
}

/// An account, and everything that was tried on it.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) name: String,
    /// Known once the account is created.
    pub(crate) id: String,
    /// The passwords of which one is in force.
    pub(crate) passwords: Vec<String>,
    /// The roles of which the account has one.
    pub(crate) roles: Vec<String>,
    /// The states of which one holds.
    pub(crate) disabled: Vec<bool>,
    /// Incremented before and after each request that changes the account.
    pub(crate) epoch: u64,
    /// A request that changes the account is in progress or has an unknown outcome. A second one could not be tracked.
    pub(crate) busy: bool,
    /// Set when all was quiet and the password in force was unknown: the next accepted password determines it.
    pub(crate) quiet_since: Option<Millis>,
    pub(crate) endings: Vec<Ending>,
    pub(crate) logins: Vec<LoginTry>,
}

impl Account {
    pub(crate) fn new(name: String, id: String, role: &str, password: &str) -> Self {
        Self {
            name,
            id,
            passwords: vec![password.to_owned()],
            roles: vec![role.to_owned()],
            disabled: vec![false],
            epoch: 0,
            busy: false,
            quiet_since: None,
            endings: Vec::new(),
            logins: Vec::new(),
        }
    }

    pub(crate) fn is_surely_disabled(&self) -> bool {
        self.disabled == [true]
    }

    pub(crate) fn is_surely_enabled(&self) -> bool {
        self.disabled == [false]
    }
}

/// A login that may have started a session. For a rejected login, `answered` is later than any session of it.
#[derive(Debug)]
pub(crate) struct LoginTry {
    /// Identifies the login: two may be sent in the same millisecond.
    pub(crate) number: u64,
    pub(crate) answered: Option<Millis>,
}

/// A session that the service reported to a client.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) number: u64,
    /// The public id; empty if a response without the id gave the session a new key.
    pub(crate) id: String,
    pub(crate) cookie: String,
    pub(crate) key: Key,
    pub(crate) user: usize,
    pub(crate) remembered: bool,
    /// The number of its login.
    pub(crate) login: u64,
    /// When its login was sent, and when it was answered.
    pub(crate) sent: Millis,
    pub(crate) answered: Millis,
    /// It was alive at this time, or later.
    pub(crate) seen: Millis,
    /// It lives at least until this time.
    pub(crate) expires: Millis,
    /// The last moment at which a request may have touched it.
    pub(crate) last_use: Millis,
    /// Requests in progress with its cookie.
    pub(crate) pending: u32,
    /// A request without a response may still extend it.
    pub(crate) unsure_use: bool,
    /// It lives at most until this time.
    pub(crate) ends: Millis,
    /// Known to be dead since this time.
    pub(crate) dead: Option<Millis>,
}

/// What is known about the key of a session. A session gets another key at the first request after a promotion.
#[derive(Clone, Debug, Default)]
pub(crate) struct Key {
    /// Number of previous keys, as far as clients know.
    pub(crate) generation: u64,
    /// The lowest and the highest role that the key may have, as indices into the roles.
    pub(crate) lowest: usize,
    pub(crate) highest: usize,
    /// The session may have been promoted with this key; then each request with it may give the session another one.
    pub(crate) may_change: bool,
    /// A request without a response may have replaced the key; then no client holds the session. True once all was
    /// quiet since.
    pub(crate) unsure: Option<bool>,
    /// It was found dead while another request with it was in progress, which may have given the session another key.
    pub(crate) contested: Option<Millis>,
}

/// A request that ends sessions.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    pub(crate) id: u64,
    pub(crate) scope: Scope,
    /// A session that the request spares by an id that may have been outdated.
    pub(crate) perhaps: Option<u64>,
    pub(crate) sent: Millis,
    /// After this time the request no longer takes effect.
    pub(crate) closed: Option<Millis>,
}

impl Ending {
    pub(crate) fn may_take(&self, session: u64) -> bool {
        self.scope.takes(session) || self.perhaps == Some(session)
    }
}

/// Which sessions of a user are ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    One(u64),
    AllBut(u64),
    All,
}

impl Scope {
    pub(crate) const fn takes(self, session: u64) -> bool {
        match self {
            Self::One(it) => it == session,
            Self::AllBut(it) => it != session,
            Self::All => true,
        }
    }
}
