//! The repositories of services, tokens and rate limits.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::{Decorated, Failure};
use skriptoteket_core::{clock::Timestamp, error::StoreError};
use skriptoteket_services::{
    LimitPolicy, NewService, NewSigningKey, QuotaDecision, RateLimitRepository, Register,
    RegisterError, Revision, Revocation, Rotation, SecretDigest, Service, ServiceChange, ServiceId,
    ServiceRepository, SignOfLife, SigningKey, TokenId, TokenRepository,
};

const SERVICES: &str = "services";
const TOKENS: &str = "tokens";
const QUOTAS: &str = "quotas";

impl Failure for RegisterError {
    fn error_type(&self) -> Option<&'static str> {
        match self {
            Self::AlreadyExists | Self::Full(_) => None,
            Self::Store(error) => Some(error.error_type()),
        }
    }
}

#[async_trait]
impl<R: ServiceRepository + ?Sized> ServiceRepository for Decorated<R> {
    async fn register(&self, service: NewService, most: u32) -> Result<Service, RegisterError> {
        let answer = self.inner.register(service, most);
        self.call(SERVICES, "register", answer).await
    }

    async fn find(&self, id: &ServiceId) -> Result<Option<Service>, StoreError> {
        self.call(SERVICES, "find", self.inner.find(id)).await
    }

    async fn all(&self) -> Result<Register, StoreError> {
        self.call(SERVICES, "all", self.inner.all()).await
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.call(SERVICES, "revision", self.inner.revision()).await
    }

    async fn change(
        &self,
        id: &ServiceId,
        change: ServiceChange,
    ) -> Result<Option<Service>, StoreError> {
        let answer = self.inner.change(id, change);
        self.call(SERVICES, "change", answer).await
    }

    async fn delete(&self, id: &ServiceId) -> Result<bool, StoreError> {
        self.call(SERVICES, "delete", self.inner.delete(id)).await
    }

    async fn rotate(
        &self,
        id: &ServiceId,
        secret: SecretDigest,
        expires_at: Option<Timestamp>,
        overlap: Duration,
        force: bool,
    ) -> Result<Option<Rotation>, StoreError> {
        let answer = self.inner.rotate(id, secret, expires_at, overlap, force);
        self.call(SERVICES, "rotate", answer).await
    }

    async fn seen(&self, id: &ServiceId, sign: SignOfLife) -> Result<bool, StoreError> {
        self.call(SERVICES, "seen", self.inner.seen(id, sign)).await
    }
}

#[async_trait]
impl<R: TokenRepository + ?Sized> TokenRepository for Decorated<R> {
    async fn keys(&self) -> Result<Vec<SigningKey>, StoreError> {
        self.call(TOKENS, "keys", self.inner.keys()).await
    }

    async fn add_key(&self, key: NewSigningKey, newest: Option<&str>) -> Result<bool, StoreError> {
        let answer = self.inner.add_key(key, newest);
        self.call(TOKENS, "add_key", answer).await
    }

    async fn revoke(&self, token: TokenId, expires_at: Timestamp) -> Result<(), StoreError> {
        let answer = self.inner.revoke(token, expires_at);
        self.call(TOKENS, "revoke", answer).await
    }

    async fn revocations(&self, after: i64) -> Result<Vec<Revocation>, StoreError> {
        let answer = self.inner.revocations(after);
        self.call(TOKENS, "revocations", answer).await
    }

    async fn use_assertion(
        &self,
        digest: [u8; 32],
        expires_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let answer = self.inner.use_assertion(digest, expires_at);
        self.call(TOKENS, "use_assertion", answer).await
    }

    async fn prune(&self, limit: u32) -> Result<u64, StoreError> {
        self.call(TOKENS, "prune", self.inner.prune(limit)).await
    }
}

#[async_trait]
impl<R: RateLimitRepository + ?Sized> RateLimitRepository for Decorated<R> {
    async fn charge(
        &self,
        registration: Uuid,
        policy: &LimitPolicy,
    ) -> Result<QuotaDecision, StoreError> {
        let answer = self.inner.charge(registration, policy);
        self.call(QUOTAS, "charge", answer).await
    }

    async fn forget(&self, registration: Uuid) -> Result<(), StoreError> {
        self.call(QUOTAS, "forget", self.inner.forget(registration))
            .await
    }
}
