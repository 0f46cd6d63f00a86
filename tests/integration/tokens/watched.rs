//! A register that counts how often it is queried, and that can be slow, unavailable or busy.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use skriptoteket::{
    clock::{ManualClock, Timestamp},
    error::StoreError,
    services::{
        NewService, Register, RegisterError, Revision, Rotation, SecretDigest, Service,
        ServiceChange, ServiceId, ServiceRepository, SignOfLife,
    },
};

/// A register that counts the queries of its revision and the records of activity.
#[derive(Debug)]
pub(crate) struct Watched {
    inner: Arc<dyn ServiceRepository>,
    asked: AtomicU64,
    signs: AtomicU64,
    /// If set, each query of the revision advances this clock by 100 ms.
    pub(crate) clock: Option<Arc<ManualClock>>,
    /// Queries of the revision fail.
    pub(crate) fails: bool,
    /// It never finishes recording activity: the file's only writer is busy.
    pub(crate) busy: bool,
}

impl Watched {
    pub(crate) fn new(inner: Arc<dyn ServiceRepository>) -> Self {
        Self {
            inner,
            asked: AtomicU64::default(),
            signs: AtomicU64::default(),
            clock: None,
            fails: false,
            busy: false,
        }
    }

    /// Returns the number of queries of the revision.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(SeqCst)
    }

    /// Returns the number of records of activity.
    pub(crate) fn signs(&self) -> u64 {
        self.signs.load(SeqCst)
    }
}

#[async_trait]
impl ServiceRepository for Watched {
    async fn register(&self, service: NewService, most: u32) -> Result<Service, RegisterError> {
        self.inner.register(service, most).await
    }

    async fn find(&self, id: &ServiceId) -> Result<Option<Service>, StoreError> {
        self.inner.find(id).await
    }

    async fn all(&self) -> Result<Register, StoreError> {
        self.inner.all().await
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.asked.fetch_add(1, SeqCst);
        if let Some(clock) = &self.clock {
            tokio::task::yield_now().await;
            clock.advance(Duration::from_millis(100));
        }
        if self.fails {
            return Err(StoreError::Unavailable("away".into()));
        }
        self.inner.revision().await
    }

    async fn change(
        &self,
        id: &ServiceId,
        change: ServiceChange,
    ) -> Result<Option<Service>, StoreError> {
        self.inner.change(id, change).await
    }

    async fn delete(&self, id: &ServiceId) -> Result<bool, StoreError> {
        self.inner.delete(id).await
    }

    async fn rotate(
        &self,
        id: &ServiceId,
        secret: SecretDigest,
        expires_at: Option<Timestamp>,
        overlap: Duration,
        force: bool,
    ) -> Result<Option<Rotation>, StoreError> {
        self.inner
            .rotate(id, secret, expires_at, overlap, force)
            .await
    }

    async fn seen(&self, id: &ServiceId, sign: SignOfLife) -> Result<bool, StoreError> {
        self.signs.fetch_add(1, SeqCst);
        if self.busy {
            return pending().await;
        }
        self.inner.seen(id, sign).await
    }
}
