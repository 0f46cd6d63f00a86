//! Records how long a repository takes to answer, so that no repository knows of metrics. Those of services are in a file of
//! their own.

mod services;

use std::{fmt, future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use secrecy::SecretString;
use tracing::{Instrument, Span, field::Empty};

use crate::{
    accounts::{
        Account, AccountChange, AccountError, AccountRepository, NewAccount, User, UserId, Username,
    },
    audit::{AuditEvent, AuditFilter, AuditRepository, AuditRow},
    clock::Timestamp,
    error::StoreError,
    guard::{AttemptId, Charge, Checked, Decision, Entity, LoginThrottleRepository},
    sessions::{
        Census, Count, EndReason, Ended, NewSession, RoleUpdate, RoleUpdated, SessionFilter,
        SessionId, SessionRecord, SessionRepository, SessionState,
    },
    telemetry::instruments::{StoreMetrics, StoreOperation},
    wait_budget,
};

/// A repository whose every answer is recorded in `skriptoteket.store_operation_duration`, and as a span of the request.
///
/// An operation is named after its method. One whose future is dropped got no answer and leaves no duration. The time of
/// the answer is spent from the [`wait_budget`] of the caller; once that is spent, the call fails.
pub struct Observed<R: ?Sized> {
    inner: Arc<R>,
    metrics: StoreMetrics,
}

impl<R: ?Sized> Observed<R> {
    /// Observes `inner`.
    #[must_use]
    pub const fn new(inner: Arc<R>, metrics: StoreMetrics) -> Self {
        Self { inner, metrics }
    }

    async fn timed<T, E: Failure + From<StoreError>>(
        &self,
        store: &'static str,
        operation: &'static str,
        answer: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        let started = self.metrics.start();
        // A span within a request only: the reaper and the census would fill a trace store by themselves.
        let span = if Span::current().is_none() {
            Span::none()
        } else {
            tracing::debug_span!("store operation", store, operation, error.type = Empty)
        };
        let answer = answer.instrument(span.clone());
        let result = match wait_budget::left() {
            None => answer.await,
            Some(left) => tokio::time::timeout(left, answer)
                .await
                .unwrap_or_else(|_| Err(StoreError::timed_out().into())),
        };
        let error_type = result.as_ref().err().and_then(Failure::error_type);
        if let Some(error_type) = error_type {
            span.record("error.type", error_type);
        }
        let operation = StoreOperation { store, operation };
        wait_budget::spend(self.metrics.finish(operation, started, error_type));
        result
    }
}

impl<R: ?Sized + fmt::Debug> fmt::Debug for Observed<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observed").field(&self.inner).finish()
    }
}

/// An error that may be the store's.
trait Failure {
    /// The value of `error.type`, or `None` where the store did answer.
    fn error_type(&self) -> Option<&'static str>;
}

impl Failure for StoreError {
    fn error_type(&self) -> Option<&'static str> {
        Some(self.error_type())
    }
}

impl Failure for AccountError {
    fn error_type(&self) -> Option<&'static str> {
        match self {
            Self::LastSuperuser => None,
            Self::Store(error) => Some(error.error_type()),
        }
    }
}

const ACCOUNTS: &str = "accounts";
const SESSIONS: &str = "sessions";
const LIMITS: &str = "limits";
const AUDIT: &str = "audit";

#[async_trait]
impl<R: AccountRepository + ?Sized> AccountRepository for Observed<R> {
    async fn add(&self, account: NewAccount) -> Result<User, StoreError> {
        self.timed(ACCOUNTS, "add", self.inner.add(account)).await
    }

    async fn find_by_username(&self, username: &Username) -> Result<Option<Account>, StoreError> {
        let answer = self.inner.find_by_username(username);
        self.timed(ACCOUNTS, "find_by_username", answer).await
    }

    async fn find(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        self.timed(ACCOUNTS, "find", self.inner.find(id)).await
    }

    async fn list(&self, after: Option<UserId>, limit: u32) -> Result<Vec<User>, StoreError> {
        let answer = self.inner.list(after, limit);
        self.timed(ACCOUNTS, "list", answer).await
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        self.timed(ACCOUNTS, "is_empty", self.inner.is_empty())
            .await
    }

    async fn change(
        &self,
        id: UserId,
        change: AccountChange,
    ) -> Result<Option<User>, AccountError> {
        let answer = self.inner.change(id, change);
        self.timed(ACCOUNTS, "change", answer).await
    }

    async fn replace_password(
        &self,
        id: UserId,
        old: &SecretString,
        new: &SecretString,
    ) -> Result<bool, StoreError> {
        let answer = self.inner.replace_password(id, old, new);
        self.timed(ACCOUNTS, "replace_password", answer).await
    }

    async fn upgrade_hash(
        &self,
        id: UserId,
        old: &SecretString,
        new: &SecretString,
    ) -> Result<bool, StoreError> {
        let answer = self.inner.upgrade_hash(id, old, new);
        self.timed(ACCOUNTS, "upgrade_hash", answer).await
    }

    async fn set_password(&self, id: UserId, hash: &SecretString) -> Result<bool, StoreError> {
        let answer = self.inner.set_password(id, hash);
        self.timed(ACCOUNTS, "set_password", answer).await
    }

    async fn delete(&self, id: UserId) -> Result<bool, AccountError> {
        self.timed(ACCOUNTS, "delete", self.inner.delete(id)).await
    }

    async fn unsettled(&self, limit: u32) -> Result<Vec<User>, StoreError> {
        let answer = self.inner.unsettled(limit);
        self.timed(ACCOUNTS, "unsettled", answer).await
    }

    async fn settle(&self, id: UserId, version: i64) -> Result<bool, StoreError> {
        let answer = self.inner.settle(id, version);
        self.timed(ACCOUNTS, "settle", answer).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.timed(ACCOUNTS, "ping", self.inner.ping()).await
    }
}

#[async_trait]
impl<R: SessionRepository + ?Sized> SessionRepository for Observed<R> {
    async fn create(
        &self,
        session: NewSession,
        max_per_user: u32,
    ) -> Result<(SessionRecord, Vec<Ended>), StoreError> {
        let answer = self.inner.create(session, max_per_user);
        self.timed(SESSIONS, "create", answer).await
    }

    async fn load(&self, id: &SessionId) -> Result<Option<SessionRecord>, StoreError> {
        self.timed(SESSIONS, "load", self.inner.load(id)).await
    }

    async fn touch(
        &self,
        id: &SessionId,
        idle: Duration,
        step: Duration,
    ) -> Result<Option<SessionRecord>, StoreError> {
        let answer = self.inner.touch(id, idle, step);
        self.timed(SESSIONS, "touch", answer).await
    }

    async fn update(&self, id: &SessionId, state: &SessionState) -> Result<bool, StoreError> {
        let answer = self.inner.update(id, state);
        self.timed(SESSIONS, "update", answer).await
    }

    async fn renew(
        &self,
        old: &SessionId,
        user: UserId,
        new: &SessionId,
    ) -> Result<Option<SessionRecord>, StoreError> {
        let answer = self.inner.renew(old, user, new);
        self.timed(SESSIONS, "renew", answer).await
    }

    async fn end(&self, id: &SessionId, reason: EndReason) -> Result<Option<Ended>, StoreError> {
        let answer = self.inner.end(id, reason);
        self.timed(SESSIONS, "end", answer).await
    }

    async fn end_user(
        &self,
        user: UserId,
        reason: EndReason,
        keep: Option<&SessionId>,
    ) -> Result<Vec<Ended>, StoreError> {
        let answer = self.inner.end_user(user, reason, keep);
        self.timed(SESSIONS, "end_user", answer).await
    }

    async fn end_older(&self, user: UserId, version: i64) -> Result<Vec<Ended>, StoreError> {
        let answer = self.inner.end_older(user, version);
        self.timed(SESSIONS, "end_older", answer).await
    }

    async fn set_role(&self, user: UserId, update: RoleUpdate) -> Result<RoleUpdated, StoreError> {
        let answer = self.inner.set_role(user, update);
        self.timed(SESSIONS, "set_role", answer).await
    }

    async fn list_user(&self, user: UserId) -> Result<Vec<SessionRecord>, StoreError> {
        let answer = self.inner.list_user(user);
        self.timed(SESSIONS, "list_user", answer).await
    }

    async fn page(
        &self,
        filter: SessionFilter,
        after: Option<&SessionId>,
        limit: u32,
    ) -> Result<Vec<SessionRecord>, StoreError> {
        let answer = self.inner.page(filter, after, limit);
        self.timed(SESSIONS, "page", answer).await
    }

    async fn reap(&self, limit: u32) -> Result<Vec<Ended>, StoreError> {
        self.timed(SESSIONS, "reap", self.inner.reap(limit)).await
    }

    async fn settle_clock(&self, idle: Duration) -> Result<u64, StoreError> {
        let settled = self.inner.settle_clock(idle);
        self.timed(SESSIONS, "settle_clock", settled).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.inner.now().await
    }

    async fn census(&self) -> Result<Census, StoreError> {
        self.timed(SESSIONS, "census", self.inner.census()).await
    }

    async fn count(&self) -> Result<Count, StoreError> {
        self.timed(SESSIONS, "census", self.inner.count()).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.timed(SESSIONS, "ping", self.inner.ping()).await
    }
}

#[async_trait]
impl<R: LoginThrottleRepository + ?Sized> LoginThrottleRepository for Observed<R> {
    async fn reserve(
        &self,
        attempt: AttemptId,
        charges: &[Charge],
    ) -> Result<Decision, StoreError> {
        let answer = self.inner.reserve(attempt, charges);
        self.timed(LIMITS, "reserve", answer).await
    }

    async fn settle(
        &self,
        attempt: AttemptId,
        charges: &[Charge],
        checked: Checked,
    ) -> Result<(), StoreError> {
        let answer = self.inner.settle(attempt, charges, checked);
        self.timed(LIMITS, "settle", answer).await
    }

    async fn clear(&self, entity: Entity) -> Result<bool, StoreError> {
        self.timed(LIMITS, "clear", self.inner.clear(entity)).await
    }

    async fn prune(&self, limit: u32, horizon: Duration) -> Result<u64, StoreError> {
        let answer = self.inner.prune(limit, horizon);
        self.timed(LIMITS, "prune", answer).await
    }
}

#[async_trait]
impl<R: AuditRepository + ?Sized> AuditRepository for Observed<R> {
    async fn append(&self, events: &[AuditEvent]) -> Result<(), StoreError> {
        self.timed(AUDIT, "append", self.inner.append(events)).await
    }

    async fn announce(&self, event: &AuditEvent) -> Result<(), StoreError> {
        let answer = self.inner.announce(event);
        self.timed(AUDIT, "announce", answer).await
    }

    async fn search(&self, filter: &AuditFilter, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let answer = self.inner.search(filter, limit);
        self.timed(AUDIT, "search", answer).await
    }

    async fn prune(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let answer = self.inner.prune(before, limit);
        self.timed(AUDIT, "prune", answer).await
    }
}
