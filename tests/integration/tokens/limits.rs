//! Rate limits of services whose store is unavailable or whose registration was deleted.

use std::sync::Arc;

use async_trait::async_trait;
use skriptoteket::{
    error::StoreError,
    services::{LimitPolicy, QuotaDecision, RateLimitRepository},
};
use uuid::Uuid;

use crate::tokens::harness::Harness;

/// Unavailable quotas.
#[derive(Debug)]
struct Away;

#[async_trait]
impl RateLimitRepository for Away {
    async fn charge(&self, _: Uuid, _: &LimitPolicy) -> Result<QuotaDecision, StoreError> {
        Err(StoreError::Unavailable("away".into()))
    }

    async fn forget(&self, _: Uuid) -> Result<(), StoreError> {
        Err(StoreError::Unavailable("away".into()))
    }
}

#[tokio::test]
async fn a_service_is_deleted_though_what_it_used_cannot_be_forgotten() {
    let harness = Harness::new();
    let mut stores = harness.stores().await;
    stores.quotas = Arc::new(Away);
    let services = Arc::clone(&stores.services);
    let replica = harness.replica_on(stores, services);
    let before = replica.register("orders").await.service;
    replica.registry.delete(&before.id).await.unwrap();
    let after = replica.register("orders").await.service;
    assert_ne!(after.registration, before.registration);
}

#[tokio::test]
async fn who_is_registered_under_the_id_of_another_has_used_nothing() {
    let harness = Harness::new();
    let replica = harness.replica().await;
    let quotas = Arc::clone(&replica.stores.quotas);
    let limits = LimitPolicy {
        burst: 1,
        ..replica.registry.usual_limits()
    };
    let mut passed = Vec::new();
    for _ in 0..2 {
        let service = replica.register("orders").await.service;
        // A late request of a service that is not yet known to be deleted takes nothing from its successor.
        for deleted in [false, true] {
            if deleted {
                replica.registry.delete(&service.id).await.unwrap();
            }
            let charged = quotas.charge(service.registration, &limits).await;
            passed.push(charged.unwrap().refused.is_none());
        }
    }
    assert_eq!(passed, [true; 4]);
}
