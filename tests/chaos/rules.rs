//! What the model knows of accounts, sessions, and requests that end some.

use crate::model::Millis;

/// How the service is configured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) idle: Millis,
    pub(crate) absolute: Millis,
    pub(crate) remember: Millis,
    pub(crate) per_user: usize,
    /// How long a request may take that is answered at all.
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

/// An account, and all that was tried with it.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) name: String,
    /// Known once the account is made.
    pub(crate) id: String,
    /// Those of which one is in force.
    pub(crate) passwords: Vec<String>,
    /// Those of which it has one.
    pub(crate) roles: Vec<String>,
    /// Those of which one holds.
    pub(crate) disabled: Vec<bool>,
    /// Rises before and after each request that changes the account.
    pub(crate) epoch: u64,
    /// Such a request is under way, or its fate is unknown: another one would be one too many to follow.
    pub(crate) busy: bool,
    /// All was quiet then, and it is not known which password is in force: the next right one tells.
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

/// A login that may have started a session; `answered` is later than any session of one that was refused.
#[derive(Debug)]
pub(crate) struct LoginTry {
    /// Tells it apart: two may be sent in the same millisecond.
    pub(crate) number: u64,
    pub(crate) answered: Option<Millis>,
}

/// A session that a client was told it has.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) number: u64,
    /// Its public id.
    pub(crate) id: String,
    pub(crate) cookie: String,
    pub(crate) user: usize,
    pub(crate) remembered: bool,
    /// The number of its login.
    pub(crate) login: u64,
    /// When its login was sent and answered.
    pub(crate) sent: Millis,
    pub(crate) answered: Millis,
    /// It lived then, or later.
    pub(crate) seen: Millis,
    /// It lives until then at least.
    pub(crate) expires: Millis,
    /// The last moment at which a request may have touched it.
    pub(crate) last_use: Millis,
    /// Requests with its cookie that are under way.
    pub(crate) pending: u32,
    /// A request without an answer may touch it still.
    pub(crate) unsure_use: bool,
    /// It lives until then at most.
    pub(crate) ends: Millis,
    /// Known to be dead since.
    pub(crate) dead: Option<Millis>,
}

/// A request that ends sessions.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    pub(crate) id: u64,
    pub(crate) scope: Scope,
    pub(crate) sent: Millis,
    /// After it, it takes no effect any more.
    pub(crate) closed: Option<Millis>,
}

/// Which sessions of a user.
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
