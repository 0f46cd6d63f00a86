//! Each request is counted once with the right result, whatever the store and the caller do meanwhile.

use std::{sync::Arc, time::Duration};

use skriptoteket::services::{TokenError, TokenRequest};

use crate::tokens::{
    harness::{Harness, ISSUER, Replica, grant, with_secret},
    watched::Watched,
};

/// Creates a replica whose register never finishes recording activity.
async fn busy(harness: &Harness) -> (Replica, Arc<Watched>) {
    let stores = harness.stores().await;
    let mut busy = Watched::new(Arc::clone(&stores.services));
    busy.busy = true;
    let busy = Arc::new(busy);
    let replica = harness.replica_on(stores, Arc::clone(&busy) as _);
    (replica, busy)
}

#[tokio::test]
async fn nobody_waits_for_a_sign_of_life_that_the_store_is_too_busy_to_note() {
    let harness = Harness::new();
    let first = harness.replica().await;
    let issued = first.register("orders").await;
    let token = first.token(&issued).await.unwrap();
    let (replica, _) = busy(&harness).await;
    let came = tokio::time::timeout(Duration::from_mins(1), async {
        replica.comes_with(&token).await.unwrap();
        replica.token(&issued).await.unwrap();
    });
    came.await.unwrap();
    let labels = [("service_id", "orders"), ("status", "valid")];
    let verified = replica
        .metrics
        .counter("skriptoteket.token_verifications", &labels);
    assert_eq!((replica.succeeded("orders"), verified), (2, Some(1)));
    assert_eq!(replica.failed("_other", "cancelled"), 0);
}

#[tokio::test]
async fn of_each_service_one_sign_of_life_is_under_way_at_most() {
    let harness = Harness::new();
    let first = harness.replica().await;
    let (one, other) = (first.register("one").await, first.register("other").await);
    let (replica, busy) = busy(&harness).await;
    for _ in 0..10 {
        replica.token(&one).await.unwrap();
        tokio::task::yield_now().await;
        harness.pass(Duration::from_mins(1));
    }
    assert_eq!(busy.signs(), 1);
    replica.token(&other).await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(busy.signs(), 2);
}

#[tokio::test]
async fn an_audience_asked_for_many_times_is_in_the_token_once() {
    let harness = Harness::new();
    let replica = harness.replica().await;
    let issued = replica.register("orders").await;
    let api = "https://api.example.org".to_owned();
    let token_request = TokenRequest {
        audiences: [vec![api.clone(); 400], vec![ISSUER.to_owned(); 400]].concat(),
        ..grant()
    };
    let asked = replica
        .issue(with_secret(&issued), &token_request)
        .await
        .unwrap();
    let claims = replica.comes_with(&asked.token).await.unwrap();
    assert_eq!(claims.audiences, [api, ISSUER.to_owned()]);
}

#[tokio::test]
async fn a_request_for_more_than_a_token_holds_is_forbidden_and_counts_as_authenticated() {
    let mut harness = Harness::new();
    let audience = |n: usize| format!("https://{n}.{}.example.org", "a".repeat(60));
    harness.settings.audiences = (0..100).map(audience).collect();
    let replica = harness.replica().await;
    let issued = replica.register("orders").await;
    let token_request = TokenRequest {
        audiences: harness.settings.audiences.clone(),
        ..grant()
    };
    let asked = replica.issue(with_secret(&issued), &token_request).await;
    assert!(matches!(asked, Err(TokenError::TooLarge)), "{asked:?}");
    assert_eq!(replica.succeeded("orders"), 1);
}
