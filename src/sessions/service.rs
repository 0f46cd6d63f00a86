//! What happens to sessions: they start, are checked, change role and end; each start and end is recorded once. New keys are
//! in `renewal`.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use tokio::runtime::Handle;
use tracing::Instrument;

use super::{
    EndReason, Ended, NewSession, RoleUpdate, RoleUpdated, SessionFilter, SessionId, SessionKey,
    SessionPolicy, SessionRecord, SessionRepository, SessionState, census::CensusBell,
};
use crate::{
    accounts::{AccountChange, AccountError, AccountRepository, User, UserId},
    audit,
    clock::Clock,
    error::StoreError,
    telemetry::instruments::SessionMetrics,
    wait_budget,
};

/// A session to be started.
#[derive(Clone, Debug)]
pub struct StartSession {
    /// Whose it is; the role is taken from here.
    pub user: User,
    /// True for the longer life.
    pub remember_me: bool,
    /// What the client says it is; cut to [`NewSession::USER_AGENT_MAX_CHARS`].
    pub user_agent: String,
    /// The session that the client had before: it ends.
    pub replaces: Option<SessionId>,
    /// What the application keeps in it from the start.
    pub state: SessionState,
}

/// A session that was started.
#[derive(Clone, Debug)]
pub struct Started {
    /// The secret for the cookie.
    pub key: SessionKey,
    /// The record.
    pub record: SessionRecord,
}

/// Starts, checks and ends sessions. Cheap to clone.
///
/// What changes the store runs on a task of its own: a client that goes away in the middle cannot part a write from
/// what has to follow it.
#[derive(Clone)]
pub struct Sessions {
    inner: Arc<Inner>,
}

struct Inner {
    repository: Arc<dyn SessionRepository>,
    accounts: Arc<dyn AccountRepository>,
    metrics: SessionMetrics,
    clock: Arc<dyn Clock>,
    policy: SessionPolicy,
    bell: CensusBell,
    runtime: Handle,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("policy", &self.inner.policy)
            .finish_non_exhaustive()
    }
}

impl Sessions {
    /// Sessions in `repository` of the users in `accounts`. Detached work runs on `runtime`.
    #[must_use]
    pub fn new(
        repository: Arc<dyn SessionRepository>,
        accounts: Arc<dyn AccountRepository>,
        metrics: SessionMetrics,
        clock: Arc<dyn Clock>,
        policy: SessionPolicy,
        bell: CensusBell,
        runtime: Handle,
    ) -> Self {
        let inner = Inner {
            repository,
            accounts,
            metrics,
            clock,
            policy,
            bell,
            runtime,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Starts a session under a new key; the one it replaces ends first, so its key is dead from here on.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the store.
    pub async fn start(&self, request: StartSession) -> Result<Started, StoreError> {
        self.detached(|this| async move { this.start_now(request).await })
            .await
    }

    async fn start_now(&self, request: StartSession) -> Result<Started, StoreError> {
        let Inner {
            repository, policy, ..
        } = &*self.inner;
        if let Some(old) = &request.replaces {
            self.end_now(old, EndReason::Logout).await?;
        }
        let key = SessionKey::generate(request.user.id);
        let lifetime = if request.remember_me {
            policy.remembered
        } else {
            policy.absolute
        };
        let user_agent = request.user_agent.chars();
        let session = NewSession {
            id: key.id(),
            user_id: request.user.id,
            username: request.user.username,
            role: request.user.role,
            account_version: request.user.version,
            // Remembered means remembered: such a session does not end because nobody used it for half an hour.
            idle: if request.remember_me {
                lifetime
            } else {
                policy.idle
            },
            lifetime,
            user_agent: user_agent.take(NewSession::USER_AGENT_MAX_CHARS).collect(),
            state: request.state,
        };
        match repository.create(session, policy.max_per_user).await {
            Ok((record, evicted)) => {
                self.record(&evicted);
                Ok(Started { key, record })
            }
            Err(error) => {
                // A store that did not answer in time may still have done it.
                self.abandon(key.id());
                Err(error)
            }
        }
    }

    /// The clock of this process.
    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.inner.clock
    }

    /// How long a session lives without use, where it was not started to be remembered.
    pub(super) fn idle(&self) -> Duration {
        self.inner.policy.idle
    }

    pub(super) fn repository(&self) -> &dyn SessionRepository {
        &*self.inner.repository
    }

    /// Runs what nobody waits for.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.inner.runtime.spawn(task.in_current_span());
    }

    /// The live session of this key, if there is one; using it moves its idle expiry.
    ///
    /// One read. A write at most once per [`SessionPolicy::step`], and one when the absolute expiry is reached; where the store can be read but not written, the session
    /// goes on under the expiry that it had.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the store. A record that cannot be read is no session.
    pub async fn check(&self, id: &SessionId) -> Result<Option<SessionRecord>, StoreError> {
        let Inner {
            repository,
            clock,
            policy,
            ..
        } = &*self.inner;
        let record = match repository.load(id).await {
            Err(StoreError::Corrupt(what)) => {
                tracing::error!(session.id = %id, what, "a session record cannot be read; it is no session");
                return Ok(None);
            }
            other => other?,
        };
        let Some(record) = record else {
            return Ok(None);
        };
        let (now, idle) = (clock.now(), record.idle);
        let expiry = now.plus(idle);
        let moved = expiry.min(record.ends_at).since(record.expires_at);
        // By a clock behind the store's it cannot be told whether it is time to move it. The store can.
        let is_behind = now < record.last_seen_at && record.expires_at < record.ends_at;
        let is_worth_it = moved >= policy.step() || expiry >= record.ends_at;
        if !is_behind && (moved.is_zero() || !is_worth_it) {
            return Ok(Some(record));
        }
        match repository.touch(id, idle, policy.step()).await {
            // It was live a moment ago. That its expiry could not be moved is no reason to turn its owner away.
            Err(StoreError::Unavailable(_)) => Ok(Some(record)),
            touched => touched,
        }
    }

    /// Replaces the application's state in a live session. Returns false if it is not live; nothing brings it back.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the store.
    pub async fn update(&self, id: SessionId, state: SessionState) -> Result<bool, StoreError> {
        self.detached(|this| async move { this.inner.repository.update(&id, &state).await })
            .await
    }

    /// Ends one session. Returns its end, or `None` if it was no longer there.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the store.
    pub async fn end(&self, id: SessionId, reason: EndReason) -> Result<Option<Ended>, StoreError> {
        self.detached(|this| async move { this.end_now(&id, reason).await })
            .await
    }

    async fn end_now(
        &self,
        id: &SessionId,
        reason: EndReason,
    ) -> Result<Option<Ended>, StoreError> {
        let ended = self.inner.repository.end(id, reason).await?;
        self.record(ended.as_slice());
        Ok(ended)
    }

    /// Ends all sessions of a user but `keep` (`revoked`). Returns how many.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the store.
    pub async fn end_user(
        &self,
        user: UserId,
        keep: Option<SessionId>,
    ) -> Result<usize, StoreError> {
        self.detached(|this| async move { this.end_user_now(user, keep.as_ref()).await })
            .await
    }

    async fn end_user_now(
        &self,
        user: UserId,
        keep: Option<&SessionId>,
    ) -> Result<usize, StoreError> {
        let repository = &self.inner.repository;
        let ended = repository.end_user(user, EndReason::Revoked, keep).await?;
        self.record(&ended);
        Ok(ended.len())
    }

    /// The live sessions of a user, newest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the store.
    pub async fn list_user(&self, user: UserId) -> Result<Vec<SessionRecord>, StoreError> {
        self.inner.repository.list_user(user).await
    }

    /// Live sessions by page; see [`SessionRepository::page`].
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the store.
    pub async fn page(
        &self,
        filter: SessionFilter,
        after: Option<&SessionId>,
        limit: u32,
    ) -> Result<Vec<SessionRecord>, StoreError> {
        self.inner.repository.page(filter, after, limit).await
    }

    /// Changes an account and brings the change to its live sessions: a new role moves them, disabling ends them.
    ///
    /// # Errors
    ///
    /// [`AccountError`]. After [`AccountError::Store`] the change may have been made; it then reaches the sessions
    /// within the reaper's interval once the stores answer.
    pub async fn change_account(
        &self,
        id: UserId,
        change: AccountChange,
    ) -> Result<Option<User>, AccountError> {
        self.detached(|this| async move {
            let user = this.inner.accounts.change(id, change).await?;
            if user.is_some() {
                this.settle_now(id).await?;
            }
            Ok(user)
        })
        .await
    }

    /// Disables an account, ends its sessions and deletes it. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// [`AccountError`]. After [`AccountError::Store`] the account may be left disabled; delete it again.
    pub async fn delete_account(&self, id: UserId) -> Result<bool, AccountError> {
        self.detached(|this| async move {
            let disabled = AccountChange {
                disabled: Some(true),
                ..AccountChange::default()
            };
            // Disabled first: no login can start a session between the end of the last one and the deletion.
            if this.inner.accounts.change(id, disabled).await?.is_none() {
                return Ok(false);
            }
            this.settle_now(id).await?;
            let deleted = this.inner.accounts.delete(id).await?;
            // A login that had read the account before it was disabled may have started one since.
            this.end_user_now(id, None).await?;
            Ok(deleted)
        })
        .await
    }

    /// Makes the live sessions of a user what the account says: under its role, or ended if it is disabled or gone.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of either store; the account stays unsettled and the reaper tries again.
    pub async fn settle(&self, id: UserId) -> Result<(), StoreError> {
        self.detached(|this| async move { this.settle_now(id).await })
            .await
    }

    async fn settle_now(&self, id: UserId) -> Result<(), StoreError> {
        let Inner {
            repository,
            accounts,
            bell,
            ..
        } = &*self.inner;
        let mut newest = i64::MIN;
        loop {
            let Some(account) = accounts.find(id).await? else {
                self.end_user_now(id, None).await?;
                return Ok(());
            };
            // Not simply all: whoever has logged in after that must not be logged out by this, if it is late.
            let since = if account.user.disabled {
                account.user.version + 1
            } else {
                account.user.sessions_since
            };
            if since > 0 {
                self.record(&repository.end_older(id, since).await?);
            }
            if !account.user.disabled {
                let mut update = RoleUpdate::new(account.user.role, account.user.version);
                // The account was read after that newer version had been seen, and is older all the same: the accounts went
                // back to an earlier state, and what they say now holds.
                update.replaces = update.replaces.max(newest);
                match repository.set_role(id, update).await? {
                    RoleUpdated::Moved(0) => {}
                    RoleUpdated::Moved(_) => bell.ring(),
                    RoleUpdated::Outdated { newest: seen } => {
                        newest = seen;
                        continue;
                    }
                }
            }
            // Someone may have changed the account meanwhile, and brought that to the sessions before this did.
            if accounts.settle(id, account.user.version).await? {
                return Ok(());
            }
        }
    }

    fn record(&self, ended: &[Ended]) {
        for end in ended {
            self.inner
                .metrics
                .session_ended(end.reason.as_str(), end.lasted);
        }
    }

    pub(super) async fn detached<T, E, F>(&self, work: impl FnOnce(Self) -> F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let bell = self.inner.bell.clone();
        let work = work(self.clone());
        let task = async move {
            let result = work.await;
            bell.ring();
            result
        };
        let task = audit::carried(wait_budget::carried(task)).in_current_span();
        match self.inner.runtime.spawn(task).await {
            Ok(result) => result,
            Err(error) => Err(StoreError::Unavailable(error.into()).into()),
        }
    }
}
