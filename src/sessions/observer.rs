//! Who observes: of many replicas on one session store, one exports its counts.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use uuid::Uuid;

use crate::error::StoreError;

/// What a replica is told when it asks to observe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// True if it is this replica that observes, for the time that it asked for.
    pub mine: bool,
    /// False if the one that observes says that it belongs to another service: it has another cookie key.
    pub kin: bool,
    /// Rises by one whenever another replica takes over.
    pub epoch: u64,
}

/// A lease that one replica at a time holds.
///
/// Nothing that is counted rests on it: two who believe that they hold it read the same truth from the same store, and the
/// shipped queries take the greatest.
#[async_trait]
pub trait ObserverLease: fmt::Debug + Send + Sync {
    /// Takes the lease for `ttl` if nobody else holds it, or holds on to it for `ttl` from now. `service` is the id that all
    /// replicas of one service have, and no other service.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if the store does not answer within its timeout.
    async fn hold(&self, service: Uuid, ttl: Duration) -> Result<Lease, StoreError>;

    /// Lets go of it, so that another replica may take over at once. Does nothing if another one holds it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if the store does not answer within its timeout.
    async fn release(&self) -> Result<(), StoreError>;
}

/// The lease of a store that only one process serves from: always held.
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
