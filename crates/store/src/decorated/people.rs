//! The repositories of accounts, sessions, login throttling and the audit trail.

use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;

use super::Decorated;
use skriptoteket_core::{clock::Timestamp, error::StoreError};
use skriptoteket_login::{
    accounts::{
        Account, AccountChange, AccountError, AccountRepository, NewAccount, User, UserId, Username,
    },
    audit::{AuditEvent, AuditFilter, AuditRepository, AuditRow},
    guard::{AttemptId, Charge, Checked, Decision, Entity, LoginThrottleRepository},
};
use skriptoteket_sessions::{
    Census, Count, EndReason, Ended, NewSession, RoleUpdate, RoleUpdated, SessionFilter, SessionId,
    SessionRecord, SessionRepository, SessionState,
};

const ACCOUNTS: &str = "accounts";
const SESSIONS: &str = "sessions";
const LIMITS: &str = "limits";
const AUDIT: &str = "audit";

#[async_trait]
impl<R: AccountRepository + ?Sized> AccountRepository for Decorated<R> {
    async fn add(&self, account: NewAccount) -> Result<User, StoreError> {
        self.call(ACCOUNTS, "add", self.inner.add(account)).await
    }

    async fn find_by_username(&self, username: &Username) -> Result<Option<Account>, StoreError> {
        let answer = self.inner.find_by_username(username);
        self.call(ACCOUNTS, "find_by_username", answer).await
    }

    async fn find(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        self.call(ACCOUNTS, "find", self.inner.find(id)).await
    }

    async fn list(&self, after: Option<UserId>, limit: u32) -> Result<Vec<User>, StoreError> {
        let answer = self.inner.list(after, limit);
        self.call(ACCOUNTS, "list", answer).await
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        self.call(ACCOUNTS, "is_empty", self.inner.is_empty()).await
    }

    async fn change(
        &self,
        id: UserId,
        change: AccountChange,
    ) -> Result<Option<User>, AccountError> {
        let answer = self.inner.change(id, change);
        self.call(ACCOUNTS, "change", answer).await
    }

    async fn replace_password(
        &self,
        id: UserId,
        old: &SecretString,
        new: &SecretString,
    ) -> Result<bool, StoreError> {
        let answer = self.inner.replace_password(id, old, new);
        self.call(ACCOUNTS, "replace_password", answer).await
    }

    async fn upgrade_hash(
        &self,
        id: UserId,
        old: &SecretString,
        new: &SecretString,
    ) -> Result<bool, StoreError> {
        let answer = self.inner.upgrade_hash(id, old, new);
        self.call(ACCOUNTS, "upgrade_hash", answer).await
    }

    async fn set_password(&self, id: UserId, hash: &SecretString) -> Result<bool, StoreError> {
        let answer = self.inner.set_password(id, hash);
        self.call(ACCOUNTS, "set_password", answer).await
    }

    async fn delete(&self, id: UserId) -> Result<bool, AccountError> {
        self.call(ACCOUNTS, "delete", self.inner.delete(id)).await
    }

    async fn unsettled(&self, limit: u32) -> Result<Vec<User>, StoreError> {
        let answer = self.inner.unsettled(limit);
        self.call(ACCOUNTS, "unsettled", answer).await
    }

    async fn settle(&self, id: UserId, version: i64) -> Result<bool, StoreError> {
        let answer = self.inner.settle(id, version);
        self.call(ACCOUNTS, "settle", answer).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.call(ACCOUNTS, "ping", self.inner.ping()).await
    }
}

#[async_trait]
impl<R: SessionRepository + ?Sized> SessionRepository for Decorated<R> {
    async fn create(
        &self,
        session: NewSession,
        max_per_user: u32,
    ) -> Result<(SessionRecord, Vec<Ended>), StoreError> {
        let answer = self.inner.create(session, max_per_user);
        self.call(SESSIONS, "create", answer).await
    }

    async fn load(&self, id: &SessionId) -> Result<Option<SessionRecord>, StoreError> {
        self.call(SESSIONS, "load", self.inner.load(id)).await
    }

    async fn touch(
        &self,
        id: &SessionId,
        idle: Duration,
        step: Duration,
    ) -> Result<Option<SessionRecord>, StoreError> {
        let answer = self.inner.touch(id, idle, step);
        self.call(SESSIONS, "touch", answer).await
    }

    async fn update(&self, id: &SessionId, state: &SessionState) -> Result<bool, StoreError> {
        let answer = self.inner.update(id, state);
        self.call(SESSIONS, "update", answer).await
    }

    async fn renew(
        &self,
        old: &SessionId,
        user: UserId,
        new: &SessionId,
    ) -> Result<Option<SessionRecord>, StoreError> {
        let answer = self.inner.renew(old, user, new);
        self.call(SESSIONS, "renew", answer).await
    }

    async fn end(&self, id: &SessionId, reason: EndReason) -> Result<Option<Ended>, StoreError> {
        let answer = self.inner.end(id, reason);
        self.call(SESSIONS, "end", answer).await
    }

    async fn end_user(
        &self,
        user: UserId,
        reason: EndReason,
        keep: Option<&SessionId>,
    ) -> Result<Vec<Ended>, StoreError> {
        let answer = self.inner.end_user(user, reason, keep);
        self.call(SESSIONS, "end_user", answer).await
    }

    async fn end_older(&self, user: UserId, version: i64) -> Result<Vec<Ended>, StoreError> {
        let answer = self.inner.end_older(user, version);
        self.call(SESSIONS, "end_older", answer).await
    }

    async fn set_role(&self, user: UserId, update: RoleUpdate) -> Result<RoleUpdated, StoreError> {
        let answer = self.inner.set_role(user, update);
        self.call(SESSIONS, "set_role", answer).await
    }

    async fn list_user(&self, user: UserId) -> Result<Vec<SessionRecord>, StoreError> {
        let answer = self.inner.list_user(user);
        self.call(SESSIONS, "list_user", answer).await
    }

    async fn page(
        &self,
        filter: SessionFilter,
        after: Option<&SessionId>,
        limit: u32,
    ) -> Result<Vec<SessionRecord>, StoreError> {
        let answer = self.inner.page(filter, after, limit);
        self.call(SESSIONS, "page", answer).await
    }

    async fn reap(&self, limit: u32) -> Result<Vec<Ended>, StoreError> {
        self.call(SESSIONS, "reap", self.inner.reap(limit)).await
    }

    async fn settle_clock(&self, idle: Duration) -> Result<u64, StoreError> {
        let settled = self.inner.settle_clock(idle);
        self.call(SESSIONS, "settle_clock", settled).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.inner.now().await
    }

    async fn census(&self) -> Result<Census, StoreError> {
        self.call(SESSIONS, "census", self.inner.census()).await
    }

    async fn count(&self) -> Result<Count, StoreError> {
        self.call(SESSIONS, "census", self.inner.count()).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.call(SESSIONS, "ping", self.inner.ping()).await
    }
}

#[async_trait]
impl<R: LoginThrottleRepository + ?Sized> LoginThrottleRepository for Decorated<R> {
    async fn reserve(
        &self,
        attempt: AttemptId,
        charges: &[Charge],
    ) -> Result<Decision, StoreError> {
        let answer = self.inner.reserve(attempt, charges);
        self.call(LIMITS, "reserve", answer).await
    }

    async fn settle(
        &self,
        attempt: AttemptId,
        charges: &[Charge],
        checked: Checked,
    ) -> Result<(), StoreError> {
        let answer = self.inner.settle(attempt, charges, checked);
        self.call(LIMITS, "settle", answer).await
    }

    async fn clear(&self, entity: Entity) -> Result<bool, StoreError> {
        self.call(LIMITS, "clear", self.inner.clear(entity)).await
    }

    async fn prune(&self, limit: u32, horizon: Duration) -> Result<u64, StoreError> {
        let answer = self.inner.prune(limit, horizon);
        self.call(LIMITS, "prune", answer).await
    }
}

#[async_trait]
impl<R: AuditRepository + ?Sized> AuditRepository for Decorated<R> {
    async fn append(&self, events: &[AuditEvent]) -> Result<(), StoreError> {
        self.call(AUDIT, "append", self.inner.append(events)).await
    }

    async fn announce(&self, event: &AuditEvent) -> Result<(), StoreError> {
        let answer = self.inner.announce(event);
        self.call(AUDIT, "announce", answer).await
    }

    async fn search(&self, filter: &AuditFilter, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let answer = self.inner.search(filter, limit);
        self.call(AUDIT, "search", answer).await
    }

    async fn prune(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let answer = self.inner.prune(before, limit);
        self.call(AUDIT, "prune", answer).await
    }
}
