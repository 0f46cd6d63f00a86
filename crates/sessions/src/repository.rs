//! The record of a session, and the contract of every session store.

use std::{collections::BTreeMap, fmt, time::Duration};

use async_trait::async_trait;

use super::{Census, Count, EndReason, SessionId};
use skriptoteket_core::{
    clock::Timestamp,
    error::StoreError,
    network::ClientNetwork,
    user::{Role, UserId, Username},
};

/// What an application stores in a session in addition to the login: actix-session's state, JSON by name.
pub type SessionState = BTreeMap<String, String>;

/// A live session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// The public ID.
    pub id: SessionId,
    /// The user that it belongs to.
    pub user_id: UserId,
    /// The login name; the name of an account never changes.
    pub username: Username,
    /// The current role of the session.
    pub role: Role,
    /// The lowest role that the session has had under its key: a copy of the key was made under this role, or a
    /// higher one. For a session from before this was recorded, its current role.
    pub key_role: Role,
    /// When it started.
    pub created_at: Timestamp,
    /// When it was last refreshed: up to one refresh step before its last use.
    pub last_seen_at: Timestamp,
    /// When it ends unless it is used: the earlier of idle and absolute expiry.
    pub expires_at: Timestamp,
    /// When it ends, used or not.
    pub ends_at: Timestamp,
    /// Its idle timeout.
    pub idle: Duration,
    /// The user agent that the client sent at login, at most 256 characters.
    pub user_agent: String,
    /// The network that the client logged in from. `None` if it is not known, for example for a session from before it
    /// was stored.
    pub network: Option<ClientNetwork>,
    /// What the application stores in it.
    pub state: SessionState,
}

impl SessionRecord {
    /// Returns true if it was started with `remember_me`: it lives to its maximum age without use.
    #[must_use]
    pub fn is_remembered(&self) -> bool {
        self.idle >= self.ends_at.since(self.created_at)
    }

    /// Returns true if its role is higher than when a copy of its key may have been made.
    #[must_use]
    pub fn has_outgrown_its_key(&self) -> bool {
        self.role > self.key_role
    }
}

/// A session to start.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Its public ID.
    pub id: SessionId,
    /// The user that it belongs to.
    pub user_id: UserId,
    /// The login name.
    pub username: Username,
    /// The role.
    pub role: Role,
    /// The version of the account that it is started under.
    pub account_version: i64,
    /// Its idle timeout.
    pub idle: Duration,
    /// Its maximum lifetime.
    pub lifetime: Duration,
    /// The user agent that the client sent.
    pub user_agent: String,
    /// The network that the client logged in from, if it is known.
    pub network: Option<ClientNetwork>,
    /// What the application stores in it from the start.
    pub state: SessionState,
}

impl NewSession {
    /// Maximum length of the stored user agent, in characters.
    pub const USER_AGENT_MAX_CHARS: usize = 256;
}

/// The role of an account, for the live sessions of its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleUpdate {
    /// The role.
    pub role: Role,
    /// The version of the account that the role was read from.
    pub version: i64,
    /// The newest version whose role it may replace. Above `version` only if the account store is known to have been
    /// restored to an earlier state.
    pub replaces: i64,
}

impl RoleUpdate {
    /// Creates an update to the role in this version of the account. It replaces the role of an older version, or of
    /// the same one.
    #[must_use]
    pub const fn new(role: Role, version: i64) -> Self {
        Self {
            role,
            version,
            replaces: version,
        }
    }
}

/// The result of a [`RoleUpdate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleUpdated {
    /// All live sessions of the user have the role; this number had another one.
    Moved(u64),
    /// Nothing was changed: their role comes from a newer version of the account.
    Outdated {
        /// That version.
        newest: i64,
    },
}

impl RoleUpdated {
    /// Returns the number of sessions whose role has changed.
    #[must_use]
    pub const fn moved(self) -> u64 {
        match self {
            Self::Moved(moved) => moved,
            Self::Outdated { .. } => 0,
        }
    }
}

/// One end of one session. Each is returned to exactly one caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The session.
    pub id: SessionId,
    /// The user that it belonged to.
    pub user_id: UserId,
    /// The role that it had at its end.
    pub role: Role,
    /// Why it ended.
    pub reason: EndReason,
    /// The time from its start to its end; an expired session ended at its expiry, not when it was found.
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

/// A store of sessions.
///
/// # Contract
///
/// * Every method is one atomic step: it takes effect completely or not at all, even if the process is killed or the
///   caller's future is dropped.
/// * The store's own clock decides. A session is live while `expires_at > now`. An expired session is visible only to
///   what ends sessions ([`SessionRepository::reap`], `end`, `end_user`), even before the reaper ran.
/// * Every start and every end is added to [`Totals`](super::Totals) in the same step, so
///   `started − ended = live + expired` holds for every role at every moment, across restarts. Each end is returned to
///   exactly one caller.
/// * All live sessions of a user have one role: that of the newest `create` or `set_role`. A session whose role
///   changes is counted as ended (`role_changed`) under the old role and as started under the new one.
/// * The role of an older version of an account never replaces one that `set_role` has set from a newer version in
///   the last hour: a write that is late, because it waited or because the store was suspended, cannot restore an old
///   role.
/// * The role of a session's key falls with the role of the session and never rises: only
///   [`SessionRepository::renew`] sets it to the session's role again.
/// * No method revives a session: `touch` and `update` of a session that is not live write nothing.
/// * All methods fail with [`StoreError::Unavailable`] if the store does not respond within its timeout. A record
///   that cannot be read does not count as a session: it is reported as [`StoreError::Corrupt`] by `load` and left
///   out of lists.
#[async_trait]
pub trait SessionRepository: fmt::Debug + Send + Sync {
    /// Starts a session. Its role is that of the returned record: if a newer version of the account has set another
    /// role, that one applies. If the user then has more than `max_per_user` live sessions, the oldest end
    /// (`evicted`, under the role they have then) and are returned, oldest first. The new session always stays.
    /// Expired sessions do not count towards the maximum and are left to the reaper.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if the ID is taken.
    async fn create(
        &self,
        session: NewSession,
        max_per_user: u32,
    ) -> Result<(SessionRecord, Vec<Ended>), StoreError>;

    /// Returns the live session with this ID, if there is one.
    async fn load(&self, id: &SessionId) -> Result<Option<SessionRecord>, StoreError>;

    /// Moves the idle expiry to `idle` from now, never past `ends_at` and never back, and only if it moves by `step`
    /// or more, or to `ends_at`: a session that is used until then ends by its absolute expiry. Returns the resulting
    /// record, or `None` if the session is not live.
    async fn touch(
        &self,
        id: &SessionId,
        idle: Duration,
        step: Duration,
    ) -> Result<Option<SessionRecord>, StoreError>;

    /// Replaces the application's state. Returns false, and writes nothing, if the session is not live.
    async fn update(&self, id: &SessionId, state: &SessionState) -> Result<bool, StoreError>;

    /// Gives a live session of this user another ID, and sets the role of its key to its current role. The session
    /// keeps its place in the order of starts, its expiry and its state, and is counted neither as ended nor as
    /// started; `old` becomes invalid. Returns the resulting record, or `None` if `old` is not live.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if the new ID is taken, or belongs to another shard than this user's.
    async fn renew(
        &self,
        old: &SessionId,
        user: UserId,
        new: &SessionId,
    ) -> Result<Option<SessionRecord>, StoreError>;

    /// Ends one session. Returns its end, or `None` if there was none to end. A session that has already expired ends
    /// with the reason of its expiry, whatever `reason` says.
    async fn end(&self, id: &SessionId, reason: EndReason) -> Result<Option<Ended>, StoreError>;

    /// Ends all sessions of a user except `keep`. Sessions that have already expired end with the reason of their
    /// expiry.
    async fn end_user(
        &self,
        user: UserId,
        reason: EndReason,
        keep: Option<&SessionId>,
    ) -> Result<Vec<Ended>, StoreError>;

    /// Ends all sessions of a user that were started under a version of the account older than `version` (`revoked`).
    /// Sessions that have already expired end with the reason of their expiry.
    async fn end_older(&self, user: UserId, version: i64) -> Result<Vec<Ended>, StoreError>;

    /// Sets the role of all live sessions of a user, unless a version of the account newer than `update.replaces` has
    /// set it.
    async fn set_role(&self, user: UserId, update: RoleUpdate) -> Result<RoleUpdated, StoreError>;

    /// Returns the live sessions of a user, newest first: at most the configured number per user.
    async fn list_user(&self, user: UserId) -> Result<Vec<SessionRecord>, StoreError>;

    /// Returns at most `limit` matching live sessions, in the order of their IDs, from the first after `after`. Fewer
    /// than `limit` means that no more are left.
    async fn page(
        &self,
        filter: SessionFilter,
        after: Option<&SessionId>,
        limit: u32,
    ) -> Result<Vec<SessionRecord>, StoreError>;

    /// Ends at most `limit` expired sessions, each with the reason (`idle` or `absolute`) of its expiry.
    async fn reap(&self, limit: u32) -> Result<Vec<Ended>, StoreError>;

    /// Repairs the effects of a clock that was ahead: a session that started in the future starts now, and its
    /// expiries are no later than those of a session that is started, or was last used, now. Returns the number of
    /// these sessions. Call it after the store's clock was set back.
    ///
    /// Checks the sessions that expire later than `idle` from now. Other sessions that were started while the clock
    /// was ahead expire within that time unless they are used.
    async fn settle_clock(&self, idle: Duration) -> Result<u64, StoreError>;

    /// Returns the time on which session expiries are based.
    async fn now(&self) -> Result<Timestamp, StoreError>;

    /// Counts live sessions and distinct users by role, and reads the totals, all at one moment.
    ///
    /// The cost does not depend on the number of live sessions: it reads an index, not the records.
    async fn census(&self) -> Result<Census, StoreError>;

    /// Returns the census with the totals of each part of the store. Costs the same.
    async fn count(&self) -> Result<Count, StoreError> {
        Ok(self.census().await?.into())
    }

    /// Succeeds if the store responds.
    async fn ping(&self) -> Result<(), StoreError>;
}
