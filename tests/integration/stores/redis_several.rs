//! Several replicas on one Redis: each end is returned once, no session is lost, and one replica is the observer.

use std::{collections::HashSet, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use skriptoteket::{
    accounts::{Role, UserId},
    sessions::{EndReason, Ended, RoleUpdate, SessionId},
    store::Stores,
};
use skriptoteket_testing::stores::{IDLE, new_session};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::stores::world::{Backend, World, seconds};

/// Runs the requests of one replica; returns the ends that it received.
async fn requests(stores: Stores, users: Vec<UserId>, seed: u64) -> Vec<Ended> {
    let mut random = StdRng::seed_from_u64(seed);
    let sessions = stores.sessions;
    let (mut ends, mut own) = (Vec::new(), Vec::<SessionId>::new());
    for _ in 0..120 {
        let user = users[random.random_range(0..users.len())];
        let role = Role::ALL[random.random_range(0..4)];
        match random.random_range(0..12) {
            0..5 => {
                let mut new = new_session(user, role);
                new.idle = seconds(random.random_range(1..5));
                let (record, evicted) = sessions.create(new, 3).await.unwrap();
                own.push(record.id);
                ends.extend(evicted);
            }
            5 | 6 if !own.is_empty() => {
                let id = own.swap_remove(random.random_range(0..own.len()));
                ends.extend(sessions.end(&id, EndReason::Logout).await.unwrap());
            }
            7 if !own.is_empty() => {
                let id = &own[random.random_range(0..own.len())];
                sessions.touch(id, IDLE, Duration::ZERO).await.unwrap();
            }
            8 => drop(
                sessions
                    .set_role(user, RoleUpdate::new(role, 1))
                    .await
                    .unwrap(),
            ),
            9 => {
                let revoked = sessions.end_user(user, EndReason::Revoked, own.last());
                ends.extend(revoked.await.unwrap());
            }
            _ => ends.extend(sessions.reap(5).await.unwrap()),
        }
    }
    ends
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_replicas_hand_each_end_out_once_and_lose_none() {
    for backend in [Backend::Redis, Backend::RedisCluster] {
        let world = World::new(backend).await;
        let mut replicas = vec![world.stores.clone()];
        for _ in 0..3 {
            replicas.push(world.another().await);
        }
        let users: Vec<UserId> = (0..6).map(|_| UserId::generate()).collect();
        let mut all = JoinSet::new();
        for seed in 0..12 {
            let stores = replicas[usize::try_from(seed).unwrap() % 4].clone();
            all.spawn(requests(stores, users.clone(), seed));
        }
        let mut ends = Vec::new();
        while let Some(of_one) = all.join_next().await {
            ends.extend(of_one.unwrap());
            world.advance(seconds(1));
            assert_conserved(&replicas[3]).await;
        }
        world.advance(IDLE);
        ends.extend(replicas[1].sessions.reap(10_000).await.unwrap());
        let totals = assert_conserved(&replicas[2]).await;
        let ids: HashSet<&SessionId> = ends.iter().map(|it| &it.id).collect();
        assert_eq!(ids.len(), ends.len(), "an end was returned twice");
        assert_eq!(ends.len() as u64, totals);
        let counted = world.census().await;
        assert_eq!((counted.sessions, counted.users), ([0; 4], [0; 4]));
        let left = world.keys();
        assert!(
            !left.is_empty()
                && left
                    .iter()
                    .all(|key| key.ends_with(":n") || key.ends_with(":r")),
            "{left:?}"
        );
    }
}

/// Fails unless the started sessions equal the ended and the live ones. Returns how many ended permanently.
async fn assert_conserved(stores: &Stores) -> u64 {
    let counted = stores.sessions.census().await.unwrap();
    let mut for_good = 0;
    for role in 0..4 {
        let ended = counted.totals.ended[role];
        let there = counted.sessions[role] + counted.expired[role];
        assert_eq!(
            counted.totals.started[role],
            ended.iter().sum::<u64>() + there
        );
        for_good += ended.iter().sum::<u64>() - ended[EndReason::RoleChanged.index()];
    }
    for_good
}

#[tokio::test]
async fn a_shard_with_more_than_a_batch_is_reaped_up_to_the_limit() {
    let world = World::new(Backend::Redis).await;
    let sessions = &world.stores.sessions;
    let user = UserId::generate();
    for n in 0..180 {
        let user = if n < 130 { user } else { UserId::generate() };
        let new = new_session(user, Role::User);
        sessions.create(new, 1000).await.unwrap();
    }
    world.advance(IDLE);
    assert_eq!(sessions.reap(120).await.unwrap().len(), 120);
    assert_eq!(sessions.reap(1000).await.unwrap().len(), 60);
    assert_eq!(world.census().await.expired, [0; 4]);
}

#[tokio::test]
async fn one_replica_observes_until_it_lets_go() {
    const LONG: Duration = Duration::from_mins(5);
    let world = World::new(Backend::Redis).await;
    let (first, second) = (
        world.stores.observer.clone(),
        world.another().await.observer,
    );
    let held = first.hold(Uuid::nil(), LONG).await.unwrap();
    assert!(held.mine);
    let refused = second.hold(Uuid::nil(), LONG).await.unwrap();
    assert_eq!((refused.mine, refused.epoch), (false, held.epoch));
    // Renewing the lease does not start a new epoch, and releasing another replica's lease has no effect.
    second.release().await.unwrap();
    assert_eq!(first.hold(Uuid::nil(), LONG).await.unwrap(), held);
    first.release().await.unwrap();
    let taken = second.hold(Uuid::nil(), LONG).await.unwrap();
    assert!(taken.mine && taken.epoch == held.epoch + 1);
    assert!(!first.hold(Uuid::nil(), LONG).await.unwrap().mine);
}

#[tokio::test]
async fn who_observes_for_another_service_is_told_apart() {
    const LONG: Duration = Duration::from_mins(5);
    let (ours, theirs) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let world = World::new(Backend::Redis).await;
    let (first, second) = (
        world.stores.observer.clone(),
        world.another().await.observer,
    );
    assert!(first.hold(ours, LONG).await.unwrap().kin);
    assert!(second.hold(ours, LONG).await.unwrap().kin);
    let lease = second.hold(theirs, LONG).await.unwrap();
    assert!(!lease.mine && !lease.kin);
    first.release().await.unwrap();
    let lease = second.hold(theirs, LONG).await.unwrap();
    assert!(lease.mine && lease.kin);
}

#[tokio::test]
async fn a_replica_that_falls_silent_loses_the_lease() {
    let world = World::new(Backend::Redis).await;
    let (first, second) = (
        world.stores.observer.clone(),
        world.another().await.observer,
    );
    assert!(
        first
            .hold(Uuid::nil(), Duration::from_millis(1))
            .await
            .unwrap()
            .mine
    );
    let taken = loop {
        let lease = second
            .hold(Uuid::nil(), Duration::from_mins(5))
            .await
            .unwrap();
        if lease.mine {
            break lease;
        }
    };
    assert_eq!(taken.epoch, 2);
}
