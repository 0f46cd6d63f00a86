//! Audit events: the actor, the outcome, and which rejected attempts share a row.

use std::{fmt, net::IpAddr, str::FromStr};

use uuid::Uuid;

use super::kind::Kind;
use crate::accounts::UserId;
use skriptoteket_core::{clock::Timestamp, network::network};

/// The outcome of a successful attempt.
pub const SUCCESS: &str = "success";

/// The outcome of an action that has begun and whose end is not recorded yet. It stays if the process died in between;
/// then it is unknown whether the action took place.
pub const PENDING: &str = "pending";

/// The actor of an attempt.
///
/// As text: `user:<id>`, `cli:<uid>` (`cli` if the user id of the process is unknown), `system`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// A logged-in user.
    User(UserId),
    /// The command line, run by this user of the operating system.
    CommandLine {
        /// The numeric user id of the process, if known.
        uid: Option<u32>,
    },
    /// The service itself.
    System,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user:{id}"),
            Self::CommandLine { uid: Some(uid) } => write!(f, "cli:{uid}"),
            Self::CommandLine { uid: None } => f.write_str("cli"),
            Self::System => f.write_str("system"),
        }
    }
}

/// The text is not an actor.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an actor: expected user:<id>, cli, cli:<uid> or system")]
pub struct UnknownActor;

impl FromStr for Actor {
    type Err = UnknownActor;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let actor = match text.split_once(':') {
            Some(("user", id)) => id.parse().map(Self::User).ok(),
            Some(("cli", uid)) => uid
                .parse()
                .map(|uid| Self::CommandLine { uid: Some(uid) })
                .ok(),
            None if text == "cli" => Some(Self::CommandLine { uid: None }),
            None if text == "system" => Some(Self::System),
            _ => None,
        };
        actor.ok_or(UnknownActor)
    }
}

/// One attempt and its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    /// Identifies the attempt, so that recording it twice leaves one row.
    pub id: Uuid,
    /// When the attempt ended.
    pub at: Timestamp,
    /// What was attempted.
    pub kind: Kind,
    /// [`SUCCESS`], [`PENDING`], or why the attempt was rejected. For a login: a reason of
    /// `skriptoteket.login_failures`.
    pub outcome: &'static str,
    /// The actor; `None` for a login, and for a request without a session.
    pub actor: Option<Actor>,
    /// The account concerned. For a login: the account of the name, if the attempt got as far as looking it up.
    pub user_id: Option<UserId>,
    /// What else is concerned: `service:<id>`, `key:<kid>` or `session:<id>`.
    pub target: Option<String>,
    /// What was changed, in fixed words: never a name, never text of a request.
    pub detail: Option<String>,
    /// The client's address.
    pub address: Option<IpAddr>,
    /// True if a row with [`PENDING`] was written before the action: that row gets the outcome.
    pub announced: bool,
}

impl AuditEvent {
    /// Creates an event of this kind without a target.
    #[must_use]
    pub fn new(kind: Kind, at: Timestamp, outcome: &'static str) -> Self {
        Self {
            id: Uuid::now_v7(),
            at,
            kind,
            outcome,
            actor: None,
            user_id: None,
            target: None,
            detail: None,
            address: None,
            announced: false,
        }
    }

    /// True for rejected attempts: they share a row with others of the same kind, outcome, entity and minute.
    #[must_use]
    pub fn is_aggregated(&self) -> bool {
        self.outcome != SUCCESS && self.outcome != PENDING && !self.announced
    }

    /// Returns the key by which rejected attempts are aggregated: the client, and the target if it is known to exist.
    ///
    /// If a request is rejected before the target is known to exist (it is not allowed, it is invalid, or there is no
    /// such target), its target is whatever the client sent. Such requests are aggregated by client only, and so are
    /// requests rejected because of the address. So with them one client fills at most one row a minute for each kind
    /// and outcome.
    #[must_use]
    pub fn aggregate_entity(&self) -> String {
        let client = self.client();
        let event = self.stripped();
        if event.user_id.is_none() && event.target.is_none() {
            return client;
        }
        let user = event.user_id.map(|id| id.to_string());
        let user = user.as_deref().unwrap_or("-");
        let target = event.target.as_deref().unwrap_or("-");
        format!("{client} {user} {target}")
    }

    /// Returns the client: its network and the actor. For IPv6 the /64 network counts, as in the login guard.
    #[must_use]
    pub fn client(&self) -> String {
        let address = self.address.map(|address| network(address).to_string());
        let actor = self.actor.map(|actor| actor.to_string());
        let or_none = |text: Option<String>| text.unwrap_or_else(|| String::from("-"));
        format!("{} {}", or_none(address), or_none(actor))
    }

    /// Returns the event as its row stores it: without a target that only the client claims.
    #[must_use]
    pub fn stripped(&self) -> Self {
        if self.is_aggregated() && self.is_by_client() {
            self.of_client()
        } else {
            self.clone()
        }
    }

    /// Returns the event without its target. The account is kept if it is the actor's own.
    #[must_use]
    pub fn of_client(&self) -> Self {
        let acts = |id: &UserId| self.actor == Some(Actor::User(*id));
        Self {
            user_id: self.user_id.filter(acts),
            target: None,
            detail: None,
            ..self.clone()
        }
    }

    fn is_by_client(&self) -> bool {
        // A login has an account only after the account was found.
        let is_request = self.address.is_some() && self.kind != Kind::Login;
        self.outcome == RATE_LIMITED
            || (is_request && !CONCERNS_WHAT_IS_THERE.contains(&self.outcome))
    }
}

/// The outcome of attempts rejected because of their address, of any kind.
const RATE_LIMITED: &str = "rate_limited";

/// The outcomes of requests that were allowed and whose target was found.
const CONCERNS_WHAT_IS_THERE: &[&str] = &[
    "account_locked",
    "conflict",
    "invalid_credentials",
    "last_superuser",
    "weak_password",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actors_are_read_as_they_are_written() {
        let actors = [
            Actor::User(UserId::generate()),
            Actor::CommandLine { uid: Some(1000) },
            Actor::CommandLine { uid: None },
            Actor::System,
        ];
        for actor in actors {
            assert_eq!(actor.to_string().parse(), Ok(actor));
        }
        for bad in [
            "", "user", "user:", "user:ada", "cli:", "cli:-1", "root", "system:1",
        ] {
            assert_eq!(bad.parse::<Actor>(), Err(UnknownActor), "{bad}");
        }
    }

    #[test]
    fn only_refused_attempts_share_a_row_and_a_blocked_address_has_one() {
        let event = |outcome, user_id| AuditEvent {
            user_id,
            address: Some([192, 0, 2, 1].into()),
            ..AuditEvent::new(Kind::Login, Timestamp::default(), outcome)
        };
        let (ada, ben) = (Some(UserId::generate()), Some(UserId::generate()));
        assert!(!event(SUCCESS, ada).is_aggregated());
        assert!(!event(PENDING, ada).is_aggregated());
        assert!(event("rate_limited", ada).is_aggregated());
        assert_eq!(
            event("rate_limited", ada).aggregate_entity(),
            event("rate_limited", ben).aggregate_entity()
        );
        assert_ne!(
            event("account_locked", ada).aggregate_entity(),
            event("account_locked", ben).aggregate_entity()
        );
    }
}
