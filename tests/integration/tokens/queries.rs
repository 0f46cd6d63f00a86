//! How often a replica queries the store, however many callers come.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use skriptoteket::services::{FRESH, ServiceRepository};
use tokio::time::Instant;

use crate::tokens::{
    harness::{Harness, reason},
    watched::Watched,
};

#[tokio::test]
async fn those_who_come_together_ask_the_store_once() {
    let harness = Harness::new();
    let (first, stores) = (harness.replica().await, harness.stores().await);
    let watched = Arc::new(Watched::new(Arc::clone(&stores.services)));
    let replica = harness.replica_on(stores, Arc::clone(&watched) as Arc<dyn ServiceRepository>);
    let token = first.token(&first.register("orders").await).await.unwrap();

    let all = join_all((0..100).map(|_| replica.comes_with(&token))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(watched.asked(), 1);
    let again = join_all((0..100).map(|_| replica.comes_with(&token))).await;
    assert!(again.iter().all(Result::is_ok));
    assert_eq!(watched.asked(), 1);
    harness.pass(FRESH);
    let later = join_all((0..100).map(|_| replica.comes_with(&token))).await;
    assert!(later.iter().all(Result::is_ok));
    assert_eq!(watched.asked(), 2);
}

#[tokio::test]
async fn made_up_keys_do_not_keep_the_store_busy() {
    let harness = Harness::new();
    let stores = harness.stores().await;
    let watched = Arc::new(Watched::new(Arc::clone(&stores.services)));
    let replica = harness.replica_on(stores, Arc::clone(&watched) as Arc<dyn ServiceRepository>);
    replica.key_rotator.rotate_if_due(true).await.unwrap();
    // Signed with a key that no replica has.
    let elsewhere = Harness::new();
    let stranger = elsewhere.replica().await;
    let token = stranger
        .token(&stranger.register("orders").await)
        .await
        .unwrap();

    // The first round shares two reads: one that was under way when most of it arrived, and the next.
    let started_at = Instant::now();
    for round in 1..=10 {
        let came = join_all((0..50).map(|_| replica.comes_with(&token))).await;
        assert!(
            came.iter()
                .all(|it| it.as_ref().err() == Some(&"bad_signature"))
        );
        assert_eq!(watched.asked(), 1 + round);
    }
    assert_eq!(replica.failed("_other", "bad_signature"), 500);
    assert!(started_at.elapsed() >= 10 * Duration::from_millis(50));
}

#[tokio::test]
async fn guesses_do_not_keep_the_store_busy() {
    let harness = Harness::new();
    let (first, stores) = (harness.replica().await, harness.stores().await);
    let watched = Arc::new(Watched::new(Arc::clone(&stores.services)));
    let replica = harness.replica_on(stores, Arc::clone(&watched) as Arc<dyn ServiceRepository>);
    let mut guess = first.register("orders").await;
    guess.secret = "sks_a-guess".into();
    let started_at = Instant::now();
    for round in 1..=10 {
        let came = join_all((0..50).map(|_| replica.token(&guess))).await;
        let reasons = came.iter().map(reason);
        assert!(reasons.into_iter().all(|it| it == Some("bad_secret")));
        assert_eq!(watched.asked(), 1 + round);
    }
    assert_eq!(replica.failed("orders", "bad_secret"), 500);
    assert!(started_at.elapsed() >= 10 * Duration::from_millis(50));
}

#[tokio::test]
async fn all_who_wait_for_a_store_that_is_away_wait_for_one_answer() {
    let harness = Harness::new();
    let stores = harness.stores().await;
    let mut away = Watched::new(Arc::clone(&stores.services));
    away.clock = Some(Arc::clone(&harness.clock));
    away.fails = true;
    let away = Arc::new(away);
    let replica = harness.replica_on(stores, Arc::clone(&away) as Arc<dyn ServiceRepository>);
    let token = "x.y.z".to_owned().into();
    let came = join_all((0..30).map(|_| replica.comes_with(&token))).await;
    assert!(
        came.iter()
            .all(|it| it.as_ref().err() == Some(&"store_unavailable"))
    );
    assert_eq!(away.asked(), 1);
    let again = replica.comes_with(&token).await;
    assert_eq!((again.err(), away.asked()), (Some("store_unavailable"), 2));
}

#[tokio::test]
async fn strangers_share_the_answers_of_a_store_that_is_slow() {
    let harness = Harness::new();
    let first = harness.replica().await;
    let good = first.token(&first.register("orders").await).await.unwrap();
    let elsewhere = Harness::new();
    let stranger = elsewhere.replica().await;
    let strange = stranger
        .token(&stranger.register("orders").await)
        .await
        .unwrap();
    let stores = harness.stores().await;
    let mut slow = Watched::new(Arc::clone(&stores.services));
    slow.clock = Some(Arc::clone(&harness.clock));
    let slow = Arc::new(slow);
    let replica = harness.replica_on(stores, Arc::clone(&slow) as Arc<dyn ServiceRepository>);
    let strangers = join_all((0..50).map(|_| replica.comes_with(&strange)));
    let (strangers, honest) = tokio::join!(strangers, replica.comes_with(&good));
    assert!(
        strangers
            .iter()
            .all(|it| it.as_ref().err() == Some(&"bad_signature"))
    );
    assert!(honest.is_ok());
    assert!(slow.asked() <= 3, "{}", slow.asked());
}

#[tokio::test]
async fn callers_that_arrive_during_a_read_wait_for_the_next_one_as_long_as_others() {
    let harness = Harness::new();
    let (first, stores) = (harness.replica().await, harness.stores().await);
    let watched = Arc::new(Watched::new(Arc::clone(&stores.services)));
    let replica = harness.replica_on(stores, Arc::clone(&watched) as Arc<dyn ServiceRepository>);
    let good = first.register("orders").await;
    assert!(replica.token(&good).await.is_ok());
    let mut guess = good;
    guess.secret = "sks_a-guess".into();
    // The last read is long ago: the first guess causes a read at once, and the others arrive while it is under way.
    harness.pass(FRESH / 5);
    let asked = watched.asked();
    let started_at = Instant::now();
    let came = join_all((0..50).map(|_| replica.token(&guess))).await;
    let reasons = came.iter().map(reason);
    assert!(reasons.into_iter().all(|it| it == Some("bad_secret")));
    assert_eq!(watched.asked(), asked + 2);
    assert!(started_at.elapsed() >= Duration::from_millis(50));
}
