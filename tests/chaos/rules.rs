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
    /// Its public id; empty where it has got a new key in an answer that does not tell it.
    pub(crate) id: String,
    pub(crate) cookie: String,
    pub(crate) key: Key,
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

/// What is known of the key of a session: it gets another one at the first request after a promotion.
#[derive(Clone, Debug, Default)]
pub(crate) struct Key {
    /// How many it has had before, as far as clients were told.
    pub(crate) generation: u64,
    /// The lowest and the highest role that the key may have: places among the roles.
    pub(crate) lowest: usize,
    pub(crate) highest: usize,
    /// The session may have been promoted under it, and then each request with it may give the session another one.
    pub(crate) may_change: bool,
    /// A request without an answer may have done so: then nobody holds the session. True once all was quiet since.
    pub(crate) unsure: Option<bool>,
    /// It was found dead while another request with it was under way, which may have given the session another one.
    pub(crate) contested: Option<Millis>,
}

/// A request that ends sessions.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    pub(crate) id: u64,
    pub(crate) scope: Scope,
    /// One that it spares by an id that it may not have had any more.
    pub(crate) perhaps: Option<u64>,
    pub(crate) sent: Millis,
    /// After it, it takes no effect any more.
    pub(crate) closed: Option<Millis>,
}

impl Ending {
    pub(crate) fn may_take(&self, session: u64) -> bool {
        self.scope.takes(session) || self.perhaps == Some(session)
    }
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
