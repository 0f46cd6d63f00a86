//! Names of the keys.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use uuid::Uuid;

use skriptoteket_login::{accounts::UserId, guard::AttemptId};
use skriptoteket_sessions::{SHARDS, SessionId, shard_of};

/// The names of all keys under one prefix.
///
/// Sessions: one hash tag per shard, so that a user's sessions, their index and their counts are on the same node.
///
/// | key | type | what is in it |
/// |---|---|---|
/// | `{P:NN}:s:SID` | string | the record of a session; expires some time after the session, in case no process ends it |
/// | `{P:NN}:u:UID` | sorted set | the sessions of a user, by sequence number |
/// | `{P:NN}:z` | sorted set | session → role · 2^42 + expiry in ms: decides which sessions are live |
/// | `{P:NN}:a` | sorted set | user → role · 2^42 + the latest expiry of its sessions |
/// | `{P:NN}:r` | sorted set | user → 4 · the account version that last set their role + that role; for at least an hour |
/// | `{P:NN}:n` | hash | how many sessions were ever started, ended and lost |
/// | `{P:NN}:probe` | string | written to check that writes are accepted; expires at once |
///
/// Login throttling: one hash tag for all keys, because an attempt charges two of them in one step.
///
/// | key | type | what is in it |
/// |---|---|---|
/// | `{P:limits}:ENTITY` | string | the state of one budget |
/// | `{P:limits}:due` | sorted set | entity → when its state becomes equivalent to none |
/// | `{P:limits}:t:ATTEMPT` | string | window of an attempt in flight; `settled` if it was settled first |
///
/// Rate limits of services: one hash tag each, because no operation involves two of them.
///
/// | key | type | what is in it |
/// |---|---|---|
/// | `{P:quota:REGISTRATION}` | string | the usage of the service; expires when it becomes equivalent to none |
///
/// The observer: `{P:observer}:lease` and `{P:observer}:epoch`. The owner of all these keys: `{P:observer}:deployment`,
/// the deployment ID in the accounts database.
///
/// SID is a session's public ID without its two shard digits, UID the user's ID in 22 characters of base64url.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) const fn new(prefix: String) -> Self {
        Self { prefix }
    }

    /// The keys of one shard of sessions.
    pub(super) fn shard(&self, number: u8) -> ShardKeys {
        let [tens, ones] = [number / 10, number % 10].map(|digit| char::from(b'0' + digit));
        // Formatted by hand, with the final capacity: every session check creates one.
        let mut tag = String::with_capacity(self.prefix.len() + 5);
        tag.push('{');
        tag += &self.prefix;
        tag.extend([':', tens, ones, '}']);
        ShardKeys { number, tag }
    }

    /// The keys of all shards, in order.
    pub(super) fn shards(&self) -> impl Iterator<Item = ShardKeys> {
        (0..SHARDS).map(|number| self.shard(number))
    }

    pub(super) fn shard_of_session(&self, id: &SessionId) -> ShardKeys {
        self.shard(id.shard())
    }

    pub(super) fn shard_of_user(&self, user: UserId) -> ShardKeys {
        self.shard(shard_of(user))
    }

    /// The state of a budget, by the text of its [`Entity`](skriptoteket_login::guard::Entity).
    pub(super) fn limit(&self, entity: &str) -> String {
        format!("{{{}:limits}}:{entity}", self.prefix)
    }

    /// The window of an attempt in flight.
    pub(super) fn attempt(&self, attempt: AttemptId) -> String {
        format!("{{{}:limits}}:{attempt}", self.prefix)
    }

    pub(super) fn limits_due(&self) -> String {
        format!("{{{}:limits}}:due", self.prefix)
    }

    /// The usage of the service with this registration.
    pub(super) fn quota(&self, registration: Uuid) -> String {
        format!("{{{}:quota:{registration}}}", self.prefix)
    }

    pub(super) fn lease(&self) -> String {
        format!("{{{}:observer}}:lease", self.prefix)
    }

    pub(super) fn epoch(&self) -> String {
        format!("{{{}:observer}}:epoch", self.prefix)
    }

    pub(super) fn deployment(&self) -> String {
        format!("{{{}:observer}}:deployment", self.prefix)
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The key pattern that an ACL has to allow: it matches all keys.
    pub(super) fn acl_pattern(&self) -> String {
        format!("~{{{}:*", self.prefix)
    }
}

/// The keys of one shard of sessions.
#[derive(Clone, Debug)]
pub(super) struct ShardKeys {
    number: u8,
    tag: String,
}

impl ShardKeys {
    pub(super) const fn number(&self) -> u8 {
        self.number
    }

    /// The record of a session, by the last part of its ID.
    pub(super) fn session(&self, sid: &str) -> String {
        [&self.tag, ":s:", sid].concat()
    }

    /// The sessions of a user, by their ID in Redis (see [`uid`]).
    pub(super) fn user(&self, uid: &str) -> String {
        [&self.tag, ":u:", uid].concat()
    }

    pub(super) fn roles(&self) -> String {
        format!("{}:r", self.tag)
    }

    pub(super) fn live(&self) -> String {
        format!("{}:z", self.tag)
    }

    pub(super) fn users(&self) -> String {
        format!("{}:a", self.tag)
    }

    pub(super) fn totals(&self) -> String {
        format!("{}:n", self.tag)
    }

    pub(super) fn probe(&self) -> String {
        format!("{}:probe", self.tag)
    }
}

/// The part of a session's ID that identifies it within its shard.
pub(super) fn sid(id: &SessionId) -> &str {
    &id.as_str()[2..]
}

/// The ID of the session with this SID in this shard, if the SID is valid.
pub(super) fn session_of(shard: u8, sid: &str) -> Option<SessionId> {
    format!("{shard:02}{sid}").parse().ok()
}

/// A user's ID in Redis: 22 characters, 14 fewer than the usual text of a UUID.
pub(super) fn uid(user: UserId) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(user.as_uuid().as_bytes())
}

/// The user with this ID in Redis, if it is valid.
pub(super) fn user_of(uid: &str) -> Option<UserId> {
    let mut bytes = [0; 16];
    let length = BASE64_URL_SAFE_NO_PAD.decode_slice(uid, &mut bytes).ok()?;
    (length == bytes.len()).then(|| UserId::from(Uuid::from_bytes(bytes)))
}

/// What a key of a shard identifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// The record of a session.
    Session(&'a str),
    /// The sessions of a user.
    User(&'a str),
}

impl Keys {
    /// The SCAN pattern that matches all records and the sessions of all users. A prefix contains no pattern
    /// characters.
    pub(super) fn pattern(&self) -> String {
        format!("{{{}:[0-9][0-9]}}:[su]:*", self.prefix)
    }

    /// The SCAN pattern that matches all keys whose prefix begins with this one.
    pub(super) fn beginning(&self) -> String {
        format!("{{{}*", self.prefix)
    }

    /// The prefix of a key; `None` if it is not one of our keys.
    pub(super) fn prefix_of(key: &str) -> Option<&str> {
        let (tag, _) = key.strip_prefix('{')?.split_once('}')?;
        tag.split_once(':').map(|(prefix, _)| prefix)
    }

    /// The shard of a key that matches the pattern, and what it identifies; `None` if it is not one of our keys.
    pub(super) fn place<'a>(&self, key: &'a str) -> Option<(u8, Place<'a>)> {
        let rest = key.strip_prefix('{')?.strip_prefix(&self.prefix)?;
        let (shard, rest) = rest.strip_prefix(':')?.split_at_checked(2)?;
        let shard = shard.parse().ok().filter(|shard| *shard < SHARDS)?;
        if let Some(sid) = rest.strip_prefix("}:s:") {
            return session_of(shard, sid).map(|_| (shard, Place::Session(sid)));
        }
        let user = rest.strip_prefix("}:u:")?;
        let is_here = user_of(user).is_some_and(|id| shard_of(id) == shard && uid(id) == user);
        is_here.then_some((shard, Place::User(user)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_to_be_what_it_was_made_for() {
        let keys = Keys::new("a.b".to_owned());
        let user = UserId::generate();
        let shard = shard_of(user);
        let key = keys.shard(shard).user(&uid(user));
        assert_eq!(keys.place(&key), Some((shard, Place::User(&uid(user)))));
        let elsewhere = keys.shard((shard + 1) % SHARDS).user(&uid(user));
        assert_eq!(keys.place(&elsewhere), None);

        let sid = "kQ3vXw8nY2aBcD4eFgHiJk";
        let key = keys.shard(7).session(sid);
        assert_eq!(keys.place(&key), Some((7, Place::Session(sid))));
        for other in [
            "{a.b:64}:s:kQ3vXw8nY2aBcD4eFgHiJk",
            "{a.b:07}:s:short",
            "{a.b:07}:z",
            "{b:07}:s:kQ3vXw8nY2aBcD4eFgHiJk",
            "{a.b:7é}",
            "",
        ] {
            assert_eq!(keys.place(other), None, "{other}");
        }
        assert_eq!(keys.pattern(), "{a.b:[0-9][0-9]}:[su]:*");
        assert_eq!(keys.beginning(), "{a.b*");
    }

    #[test]
    fn the_prefix_of_a_key_is_found() {
        let keys = Keys::new("a.b".to_owned());
        for key in [
            keys.lease(),
            keys.shard(7).live(),
            "{a.b:limits}:due".to_owned(),
        ] {
            assert_eq!(Keys::prefix_of(&key), Some("a.b"), "{key}");
        }
        for other in ["a.b:07", "{a.b}", "{a.b:07", ""] {
            assert_eq!(Keys::prefix_of(other), None, "{other}");
        }
    }
}
