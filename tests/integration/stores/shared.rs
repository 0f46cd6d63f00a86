//! One store, used by two processes at the same time. Each has its own connections and its own cache.

use std::{collections::HashMap, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use skriptoteket::{
    accounts::{Role, UserId},
    sessions::{Census, EndReason, Ended, RoleUpdate, SessionFilter, SessionId, SessionRecord},
    store::Stores,
};
use skriptoteket_testing::stores::{IDLE, new_session};
use tokio::task::JoinSet;

use crate::stores::world::{World, seconds};

on_every_store!(
    each_end_is_handed_to_exactly_one_caller,
    logins_at_once_keep_the_greatest_number_of_sessions,
    what_another_process_changed_is_seen_within_half_a_second,
    counts_hold_while_two_processes_write,
);

/// Fails if a session occurs twice.
fn by_id(ends: Vec<Ended>) -> HashMap<SessionId, Ended> {
    let n = ends.len();
    let ends: HashMap<SessionId, Ended> = ends.into_iter().map(|it| (it.id.clone(), it)).collect();
    assert_eq!(ends.len(), n, "an end was returned twice");
    ends
}

async fn each_end_is_handed_to_exactly_one_caller(world: World) {
    let other = world.another().await;
    let mut started = Vec::new();
    for n in 0..300 {
        started.push(world.start(UserId::generate(), Role::ALL[n % 4]).await);
    }
    world.advance(IDLE);
    let mut callers = JoinSet::new();
    for n in 0..6 {
        let stores = if n % 2 == 0 { &world.stores } else { &other };
        let stores = stores.clone();
        callers.spawn(async move {
            let mut ends = Vec::new();
            loop {
                let reaped = stores.sessions.reap(7).await.unwrap();
                if reaped.is_empty() {
                    return ends;
                }
                ends.extend(reaped);
            }
        });
    }
    // Meanwhile some of them are also ended by ID.
    for (n, session) in started.iter().enumerate().step_by(3) {
        let stores = if n % 2 == 0 { &world.stores } else { &other };
        let (stores, session) = (stores.clone(), session.clone());
        callers.spawn(async move {
            let sessions = stores.sessions;
            if n % 4 == 0 {
                sessions
                    .end_user(session.user_id, EndReason::Revoked, None)
                    .await
                    .unwrap()
            } else {
                Vec::from_iter(sessions.end(&session.id, EndReason::Logout).await.unwrap())
            }
        });
    }
    let ends = by_id(callers.join_all().await.into_iter().flatten().collect());
    assert_eq!(ends.len(), started.len());
    for session in &started {
        let end = &ends[&session.id];
        assert_eq!(
            (end.reason, end.lasted, end.role),
            (EndReason::Idle, IDLE, session.role)
        );
    }
    let counted = other.sessions.census().await.unwrap();
    assert_eq!(counted.expired, [0; 4]);
    assert_eq!(counted.totals.ended, [[0, 75, 0, 0, 0, 0, 0]; 4]);
}

async fn logins_at_once_keep_the_greatest_number_of_sessions(world: World) {
    let other = world.another().await;
    let user = UserId::generate();
    let mut logins = JoinSet::new();
    for n in 0..60 {
        let stores = if n % 2 == 0 { &world.stores } else { &other };
        let stores = stores.clone();
        let new = new_session(user, Role::ALL[n % 4]);
        logins.spawn(async move { stores.sessions.create(new, 3).await.unwrap() });
    }
    let logins = logins.join_all().await;
    let evicted = by_id(
        logins
            .into_iter()
            .flat_map(|(_, evicted)| evicted)
            .collect(),
    );
    assert_eq!(evicted.len(), 57);
    let left = world.stores.sessions.list_user(user).await.unwrap();
    assert_eq!(left.len(), 3);
    // All of them have the role of the last login.
    assert!(left.iter().all(|it| it.role == left[0].role));
    let counted = world.stores.sessions.census().await.unwrap();
    assert_eq!(counted.sessions.iter().sum::<u64>(), 3);
    assert_eq!(counted.users.iter().sum::<u64>(), 1);
}

async fn what_another_process_changed_is_seen_within_half_a_second(world: World) {
    let sessions = &world.stores.sessions;
    let other = world.another().await;
    let user = UserId::generate();
    let (ended, moved) = (
        world.start(user, Role::User).await,
        world.start(user, Role::User).await,
    );
    for session in [&ended, &moved] {
        assert!(sessions.load(&session.id).await.unwrap().is_some());
    }
    let end = other
        .sessions
        .end(&ended.id, EndReason::Revoked)
        .await
        .unwrap();
    assert!(end.is_some());
    assert_eq!(
        other
            .sessions
            .set_role(user, RoleUpdate::new(Role::Admin, 1))
            .await
            .unwrap()
            .moved(),
        1
    );

    world.advance(Duration::from_millis(500));
    assert_eq!(sessions.load(&ended.id).await.unwrap(), None);
    let moved = sessions.load(&moved.id).await.unwrap().unwrap();
    assert_eq!(moved.role, Role::Admin);
    // A session that the other process starts is visible at once: misses are not cached.
    let new = new_session(user, Role::Admin);
    assert_eq!(sessions.load(&new.id).await.unwrap(), None);
    let (new, _) = other.sessions.create(new, 10).await.unwrap();
    assert_eq!(sessions.load(&new.id).await.unwrap(), Some(new));
}

/// Performs random operations on `users` for a while; returns the ends that it received.
async fn writer(stores: Stores, users: Vec<UserId>, seed: u64) -> Vec<Ended> {
    let mut random = StdRng::seed_from_u64(seed);
    let sessions = stores.sessions;
    let (mut ends, mut own) = (Vec::new(), Vec::new());
    for _ in 0..150 {
        let user = users[random.random_range(0..users.len())];
        let role = Role::ALL[random.random_range(0..4)];
        match random.random_range(0..10) {
            0..5 => {
                let mut new = new_session(user, role);
                new.idle = seconds(random.random_range(1..4));
                let (record, evicted) = sessions.create(new, 3).await.unwrap();
                own.push(record.id);
                ends.extend(evicted);
            }
            5 | 6 if !own.is_empty() => {
                let id = own.swap_remove(random.random_range(0..own.len()));
                ends.extend(sessions.end(&id, EndReason::Logout).await.unwrap());
            }
            7 => drop(
                sessions
                    .set_role(user, RoleUpdate::new(role, 1))
                    .await
                    .unwrap(),
            ),
            8 => ends.extend(
                sessions
                    .end_user(user, EndReason::Revoked, None)
                    .await
                    .unwrap(),
            ),
            _ => ends.extend(sessions.reap(3).await.unwrap()),
        }
    }
    ends
}

/// Fails unless the remaining sessions equal the started minus the ended ones, and the counts equal those of an enumeration.
async fn assert_conserved(stores: &Stores, expired: [u64; 4]) -> Census {
    let counted = stores.sessions.census().await.unwrap();
    let filter = SessionFilter::default();
    let live = stores.sessions.page(filter, None, 10_000).await.unwrap();
    for role in Role::ALL {
        let at = role.index();
        let of_role: Vec<&SessionRecord> = live.iter().filter(|it| it.role == role).collect();
        let mut users: Vec<UserId> = of_role.iter().map(|it| it.user_id).collect();
        users.sort_unstable();
        users.dedup();
        assert_eq!(counted.sessions[at], of_role.len() as u64);
        assert_eq!(counted.users[at], users.len() as u64);
        assert_eq!(counted.expired[at], expired[at]);
        let ended: u64 = counted.totals.ended[at].iter().sum();
        let there = counted.sessions[at] + counted.expired[at];
        assert_eq!(counted.totals.started[at], ended + there);
    }
    counted
}

async fn counts_hold_while_two_processes_write(world: World) {
    let other = world.another().await;
    let users: Vec<UserId> = (0..8).map(|_| UserId::generate()).collect();
    let mut writers = JoinSet::new();
    for n in 0..6 {
        let stores = if n % 2 == 0 { &world.stores } else { &other };
        writers.spawn(writer(stores.clone(), users.clone(), n));
    }
    let mut ends = Vec::new();
    while let Some(of_one) = writers.join_next().await {
        ends.extend(of_one.unwrap());
        world.advance(seconds(1));
        let counted = other.sessions.census().await.unwrap();
        for role in 0..4 {
            let ended: u64 = counted.totals.ended[role].iter().sum();
            let there = counted.sessions[role] + counted.expired[role];
            assert_eq!(counted.totals.started[role], ended + there);
        }
    }
    ends.extend(world.stores.sessions.reap(10_000).await.unwrap());
    let counted = assert_conserved(&other, [0; 4]).await;
    let of_reason = |reason: EndReason| {
        counted
            .totals
            .ended
            .iter()
            .map(move |it| it[reason.index()])
    };
    let in_totals: u64 = EndReason::ALL
        .into_iter()
        .filter(|it| *it != EndReason::RoleChanged)
        .flat_map(of_reason)
        .sum();
    assert_eq!(by_id(ends).len() as u64, in_totals);
}
