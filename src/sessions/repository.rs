//! The record of a session, and the contract that every session store keeps.

use std::{collections::BTreeMap, fmt, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Census, Count, EndReason, SessionId};
use crate::{
    clock::Timestamp,
    error::StoreError,
    user::{Role, UserId, Username},
};

/// What an application keeps in a session beside the login: actix-session's state, JSON by name.
pub type SessionState = BTreeMap<String, String>;

/// A live session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// The public id.
    pub id: SessionId,
    /// Whose session it is.
    pub user_id: UserId,
    /// The login name; an account keeps its name for ever.
    pub username: Username,
    /// The role that the session has now.
    pub role: Role,
    /// The lowest role that it has had under its key: a copy of the key was made under this one, or a higher one. That of
    /// a session from before this was written down is its role.
    pub key_role: Role,
    /// When it was started.
    pub created_at: Timestamp,
    /// When it was last refreshed: up to one refresh step before its last use.
    pub last_seen_at: Timestamp,
    /// When it ends if nobody uses it: the earlier of idle and absolute expiry.
    pub expires_at: Timestamp,
    /// When it ends in any case.
    pub ends_at: Timestamp,
    /// How long it lives without use.
    pub idle: Duration,
    /// What the client said it was at login, at most 256 characters.
    pub user_agent: String,
    /// What the application keeps in it.
    pub state: SessionState,
}

impl SessionRecord {
    /// True where it was started with `remember_me`: it lives to its greatest age without use.
    #[must_use]
    pub fn is_remembered(&self) -> bool {
        self.idle >= self.ends_at.since(self.created_at)
    }

    /// True where it is worth more than a copy of its key was when it may have been made.
    #[must_use]
    pub fn has_outgrown_its_key(&self) -> bool {
        self.role > self.key_role
    }
}

/// A session to be started.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Its public id.
    pub id: SessionId,
    /// Whose it is.
    pub user_id: UserId,
    /// The login name.
    pub username: Username,
    /// The role.
    pub role: Role,
    /// The version of the account that it is started under.
    pub account_version: i64,
    /// How long it lives without use.
    pub idle: Duration,
    /// How long it lives at most.
    pub lifetime: Duration,
    /// What the client says it is.
    pub user_agent: String,
    /// What the application keeps in it from the start.
    pub state: SessionState,
}

impl NewSession {
    /// The longest user agent that is kept, in characters.
    pub const USER_AGENT_MAX_CHARS: usize = 256;
}

/// The role of an account, for the live sessions of its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleUpdate {
    /// The role.
    pub role: Role,
    /// The version of the account that it was read from.
    pub version: i64,
    /// The newest version whose role it may replace. Above `version` only where the accounts are known to have gone back to
    /// an earlier state.
    pub replaces: i64,
}

impl RoleUpdate {
    /// The role in this version of the account. It replaces that of an older version, or of the same.
    #[must_use]
    pub const fn new(role: Role, version: i64) -> Self {
        Self {
            role,
            version,
            replaces: version,
        }
    }
}

/// What came of a [`RoleUpdate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleUpdated {
    /// All live sessions of the user have the role; so many had another one.
    Moved(u64),
    /// Nothing was changed: a newer version of the account has set their role.
    Outdated {
        /// That version.
        newest: i64,
    },
}

impl RoleUpdated {
    /// How many sessions have changed their role.
    #[must_use]
    pub const fn moved(self) -> u64 {
        match self {
            Self::Moved(moved) => moved,
            Self::Outdated { .. } => 0,
        }
    }
}

/// One end of one session. Each is handed to exactly one caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The session.
    pub id: SessionId,
    /// Whose it was.
    pub user_id: UserId,
    /// The role that it had at its end.
    pub role: Role,
    /// Why it ended.
    pub reason: EndReason,
    /// From its start to its end; an expired one ended at its expiry, not when it was found.
    pub lasted: Duration,
}

/// Which sessions to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// Only sessions that have this role.
    pub role: Option<Role>,
    /// Only sessions of this user.
    pub user: Option<UserId>,
}

/// A place that keeps sessions.
///
/// # Contract
///
/// * Every method is one atomic step: it happens whole or not at all, also when the process is killed or the caller's
///   future is dropped.
/// * The store's own clock decides. A session is live while `expires_at > now`; one that has expired is found by
///   nothing but what ends sessions ([`SessionRepository::reap`], `end`, `end_user`), even before the reaper ran.
/// * Every start and every end is added to [`Totals`](super::Totals) in the same step, so `started − ended = live + expired` for
///   every role at every moment, across restarts. Each end is returned to exactly one caller.
/// * All live sessions of a user have one role: that of the newest `create` or `set_role`. One that moves is counted
///   as ended (`role_changed`) under the old role and as started under the new one.
/// * The role of an older version of an account never replaces one that `set_role` has set from a newer version in the last
///   hour: a write that is late, because it waited or because the store stood still, cannot bring an old role back.
/// * The role of a session's key falls with the role of the session and never rises: only [`SessionRepository::renew`] makes
///   it the session's role again.
/// * Nothing here brings a session back: `touch` and `update` of a session that is not live write nothing.
/// * All methods fail with [`StoreError::Unavailable`] if the store does not answer within its timeout. A record that
///   cannot be read is no session: it is reported as [`StoreError::Corrupt`] by `load` and left out of lists.
#[async_trait]
pub trait SessionRepository: fmt::Debug + Send + Sync {
    /// Starts a session. Its role is that of the record that is returned: the one in force, where a newer version of the
    /// account has set it. If the user then has more than `max_per_user` live ones, the oldest end (`evicted`, under the
    /// role they have then) and are returned, oldest first. The new one stays in any case. Expired ones take no room and
    /// are left to the reaper.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if the id is taken.
    async fn create(
        &self,
        session: NewSession,
        max_per_user: u32,
    ) -> Result<(SessionRecord, Vec<Ended>), StoreError>;

    /// The live session with this id, if there is one.
    async fn load(&self, id: &SessionId) -> Result<Option<SessionRecord>, StoreError>;

    /// Moves the idle expiry to `idle` from now, never past `ends_at`, never back, and only if it moves by `step` or
    /// more, or to `ends_at`: one that is used until then ends by its absolute expiry. Returns the record as it is then, or `None` if the session is not live.
    async fn touch(
        &self,
        id: &SessionId,
        idle: Duration,
        step: Duration,
    ) -> Result<Option<SessionRecord>, StoreError>;

    /// Replaces the application's state. Returns false, and writes nothing, if the session is not live.
    async fn update(&self, id: &SessionId, state: &SessionState) -> Result<bool, StoreError>;

    /// Gives a live session of this user another id, and makes its role that of its key. It goes on in its place in the order
    /// of starts, with the same expiry and state, and is counted neither as ended nor as started; `old` names nothing from
    /// then on. Returns the record as it is then, or `None` if `old` is not live.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if the new id is taken, or is not one of this user's shard.
    async fn renew(
        &self,
        old: &SessionId,
        user: UserId,
        new: &SessionId,
    ) -> Result<Option<SessionRecord>, StoreError>;

    /// Ends one session. Returns its end, or `None` if there was none to end. One that has already expired ends with
    /// the reason of its expiry, whatever `reason` says.
    async fn end(&self, id: &SessionId, reason: EndReason) -> Result<Option<Ended>, StoreError>;

    /// Ends all sessions of a user but `keep`. One that has already expired ends with the reason of its expiry.
    async fn end_user(
        &self,
        user: UserId,
        reason: EndReason,
        keep: Option<&SessionId>,
    ) -> Result<Vec<Ended>, StoreError>;

    /// Ends all sessions of a user that were started under a version of the account older than `version` (`revoked`). One that
    /// has already expired ends with the reason of its expiry.
    async fn end_older(&self, user: UserId, version: i64) -> Result<Vec<Ended>, StoreError>;

    /// Gives all live sessions of a user this role, unless a version of the account newer than `update.replaces` has given
    /// them one.
    async fn set_role(&self, user: UserId, update: RoleUpdate) -> Result<RoleUpdated, StoreError>;

    /// The live sessions of a user, newest first. At most the configured number per user.
    async fn list_user(&self, user: UserId) -> Result<Vec<SessionRecord>, StoreError>;

    /// At most `limit` live sessions that match, in the order of their ids, from the first after `after`. Fewer than
    /// `limit` are all that are left.
    async fn page(
        &self,
        filter: SessionFilter,
        after: Option<&SessionId>,
        limit: u32,
    ) -> Result<Vec<SessionRecord>, StoreError>;

    /// Ends at most `limit` sessions that have expired, each with the reason (`idle` or `absolute`) of its expiry.
    async fn reap(&self, limit: u32) -> Result<Vec<Ended>, StoreError>;

    /// Ends the consequences of a clock that was ahead: a session that started in the future starts now, and its expiries
    /// are no later than those of one that starts, or was last used, now. Returns how many there were. To be called after
    /// the store's clock was set back.
    ///
    /// Looks at the sessions that expire later than `idle` from now. Those of others that were started while the clock was
    /// ahead expire within that time unless they are used.
    async fn settle_clock(&self, idle: Duration) -> Result<u64, StoreError>;

    /// The time by which sessions live.
    async fn now(&self) -> Result<Timestamp, StoreError>;

    /// Counts live sessions and distinct users by role, and reads the totals, all at one moment.
    ///
    /// The cost does not depend on the number of live sessions: it reads an index, not the records.
    async fn census(&self) -> Result<Census, StoreError>;

    /// The census, with the totals of each part of the store. Costs the same.
    async fn count(&self) -> Result<Count, StoreError> {
        Ok(self.census().await?.into())
    }

    /// Answers if the store does.
    async fn ping(&self) -> Result<(), StoreError>;
}
