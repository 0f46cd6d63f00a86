//! The observer: of the replicas that share a session store, one exports its counts.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use uuid::Uuid;

use skriptoteket_core::error::StoreError;

/// The state of the lease after a request to hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// True if this replica holds the lease, for the requested time.
    pub mine: bool,
    /// False if the holder belongs to another service: it has another cookie key.
    pub kin: bool,
    /// Increases by one whenever another replica takes over.
    pub epoch: u64,
}

/// A lease that one replica holds at a time.
///
/// No count depends on it: two replicas that both consider themselves the holder read the same data from the same
/// store, and the shipped queries take the maximum.
#[async_trait]
pub trait ObserverLease: fmt::Debug + Send + Sync {
    /// Acquires the lease for `ttl` if no other replica holds it, or renews it for `ttl` from now. `service` is the
    /// ID shared by all replicas of one service and by no other service.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if the store does not respond within its timeout.
    async fn hold(&self, service: Uuid, ttl: Duration) -> Result<Lease, StoreError>;

    /// Releases the lease, so that another replica can take over at once. Does nothing if another replica holds it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if the store does not respond within its timeout.
    async fn release(&self) -> Result<(), StoreError>;
}

/// The lease of a store that only one process uses: always held.
#[derive(Clone, Copy, Debug, Default)]
pub struct SoleObserver;

#[async_trait]
impl ObserverLease for SoleObserver {
    async fn hold(&self, _service: Uuid, _ttl: Duration) -> Result<Lease, StoreError> {
        Ok(Lease {
            mine: true,
            kin: true,
            epoch: 1,
        })
    }

    async fn release(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
