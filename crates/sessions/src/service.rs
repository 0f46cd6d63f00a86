//! Starts, checks, changes and ends sessions, and records each end once. New keys are in `renewal`.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use tokio::runtime::Handle;
use tracing::Instrument;

use super::{
    EndReason, Ended, NewSession, RoleUpdate, RoleUpdated, SessionFilter, SessionId, SessionKey,
    SessionMetrics, SessionPolicy, SessionRecord, SessionRepository, SessionState,
    census::CensusBell,
};
use skriptoteket_core::{
    clock::Clock,
    detached,
    error::StoreError,
    network::ClientNetwork,
    user::{Role, UserId, Username},
};

/// A session to start.
#[derive(Clone, Debug)]
pub struct StartSession {
    /// The user that it belongs to.
    pub user_id: UserId,
    /// The login name.
    pub username: Username,
    /// The role of the account.
    pub role: Role,
    /// The version of the account that name and role were read from.
    pub account_version: i64,
    /// True for the longer lifetime.
    pub remember_me: bool,
    /// The user agent that the client sent; truncated to [`NewSession::USER_AGENT_MAX_CHARS`].
    pub user_agent: String,
    /// The network that the client logs in from, if it is known.
    pub network: Option<ClientNetwork>,
    /// The previous session of the client: it ends.
    pub replaces: Option<SessionId>,
    /// What the application stores in it from the start.
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
/// Changes to the store run on their own tasks: if a client disconnects in the middle, the steps that have to follow
/// a write still run.
#[derive(Clone)]
pub struct Sessions {
    inner: Arc<Inner>,
}

struct Inner {
    repository: Arc<dyn SessionRepository>,
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
    /// Creates the service for the sessions in `repository`. Detached work runs on `runtime`.
    #[must_use]
    pub fn new(
        repository: Arc<dyn SessionRepository>,
        metrics: SessionMetrics,
        clock: Arc<dyn Clock>,
        policy: SessionPolicy,
        bell: CensusBell,
        runtime: Handle,
    ) -> Self {
        let inner = Inner {
            repository,
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

    /// Starts a session under a new key. The session that it replaces ends first, so its key is invalid from here on.
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
        let key = SessionKey::generate(request.user_id);
        let lifetime = if request.remember_me {
            policy.remembered
        } else {
            policy.absolute
        };
        let user_agent = request.user_agent.chars();
        let session = NewSession {
            id: key.id(),
            user_id: request.user_id,
            username: request.username,
            role: request.role,
            account_version: request.account_version,
            // A remembered session must not end because it was not used for half an hour.
            idle: if request.remember_me {
                lifetime
            } else {
                policy.idle
            },
            lifetime,
            user_agent: user_agent.take(NewSession::USER_AGENT_MAX_CHARS).collect(),
            network: request.network,
            state: request.state,
        };
        match repository.create(session, policy.max_per_user).await {
            Ok((record, evicted)) => {
                self.record(&evicted);
                Ok(Started { key, record })
            }
            Err(error) => {
                // A store that did not respond in time may still have created it.
                self.abandon(key.id());
                Err(error)
            }
        }
    }

    /// Returns the clock of this process.
    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.inner.clock
    }

    /// Returns the idle timeout of sessions that are not remembered.
    pub(super) fn idle(&self) -> Duration {
        self.inner.policy.idle
    }

    pub(super) fn repository(&self) -> &dyn SessionRepository {
        &*self.inner.repository
    }

    /// Runs work that no caller waits for.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.inner.runtime.spawn(task.in_current_span());
    }

    /// Returns the live session with this ID, if there is one; using it moves its idle expiry.
    ///
    /// Needs one read. It writes at most once per [`SessionPolicy::step`], and once when the absolute expiry is
    /// reached. If the store can be read but not written, the session continues with its previous expiry.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the store. A record that cannot be read does not count as a session.
    pub async fn check(&self, id: &SessionId) -> Result<Option<SessionRecord>, StoreError> {
        let Inner {
            repository,
            clock,
            policy,
            ..
        } = &*self.inner;
        let record = match repository.load(id).await {
            Err(StoreError::Corrupt(what)) => {
                tracing::error!(session.id = %id, what, "a session record cannot be read and is ignored");
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
        // If this clock is behind the store's, it cannot decide whether the expiry has to move. The store can.
        let is_behind = now < record.last_seen_at && record.expires_at < record.ends_at;
        let is_worth_it = moved >= policy.step() || expiry >= record.ends_at;
        if !is_behind && (moved.is_zero() || !is_worth_it) {
            return Ok(Some(record));
        }
        match repository.touch(id, idle, policy.step()).await {
            // The session was live a moment ago. A failure to move its expiry is no reason to reject the request.
            Err(StoreError::Unavailable(_)) => Ok(Some(record)),
            touched => touched,
        }
    }

    /// Replaces the application's state in a live session. Returns false if the session is not live; it is not
    /// revived.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the store.
    pub async fn update(&self, id: SessionId, state: SessionState) -> Result<bool, StoreError> {
        self.detached(|this| async move { this.inner.repository.update(&id, &state).await })
            .await
    }

    /// Ends one session. Returns its end, or `None` if it no longer existed.
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

    /// Ends all sessions of a user except `keep` (`revoked`). Returns the number of sessions.
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

    /// Returns the live sessions of a user, newest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the store.
    pub async fn list_user(&self, user: UserId) -> Result<Vec<SessionRecord>, StoreError> {
        self.inner.repository.list_user(user).await
    }

    /// Returns a page of live sessions; see [`SessionRepository::page`].
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

    /// Ends all sessions of a user that were started under a version of the account older than `version` (`revoked`).
    /// Returns the number of sessions.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the store.
    pub async fn end_older(&self, user: UserId, version: i64) -> Result<usize, StoreError> {
        self.detached(|this| async move {
            let ended = this.inner.repository.end_older(user, version).await?;
            this.record(&ended);
            Ok(ended.len())
        })
        .await
    }

    /// Sets the role of all live sessions of a user; see [`SessionRepository::set_role`].
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the store.
    pub async fn set_role(
        &self,
        user: UserId,
        update: RoleUpdate,
    ) -> Result<RoleUpdated, StoreError> {
        self.detached(|this| async move { this.inner.repository.set_role(user, update).await })
            .await
    }

    fn record(&self, ended: &[Ended]) {
        self.inner.metrics.sessions_ended(ended);
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
        detached::run(&self.inner.runtime, task).await
    }
}
