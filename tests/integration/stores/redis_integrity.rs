//! Recounts and repairs of the sessions in Redis: every difference that can be planted by hand, on one server and in a Cluster.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::future::join_all;
use skriptoteket::{
    accounts::{Role, UserId},
    sessions::{
        Difference::{RecordNotIndexed, UnreadableRecord},
        EndReason, RoleUpdate,
    },
};
use skriptoteket_testing::stores::{IDLE, new_session};
use tokio::task::JoinSet;

use crate::stores::{
    redis_fixtures::{Fixtures, found, recount, resident},
    redis_plants::PLANTS,
    world::{Backend, World, redis_server},
};

async fn a_store_that_is_right_has_no_difference(backend: Backend) {
    let mut fixtures = Fixtures::new(backend).await;
    let before = fixtures.contents();
    let recount = recount(&fixtures.world.stores, true).await;
    assert_eq!(found(&recount), []);
    assert_eq!(recount.repaired, 0);
    assert_eq!(recount.index, fixtures.world.census().await);
    assert_eq!(recount.index.sessions, [1, 0, 2, 0]);
    assert_eq!(recount.index.users, [1, 0, 1, 0]);
    assert_eq!(recount.index.expired, [0, 1, 0, 0]);
    let records = recount.records;
    assert_eq!(records.sessions, recount.index.sessions);
    assert_eq!(records.users, recount.index.users);
    assert_eq!(records.expired, recount.index.expired);
    assert_eq!(fixtures.contents(), before, "there was nothing to repair");
}

async fn each_difference_is_found_and_left_alone_then_mended(backend: Backend) {
    for (commands, expected, left) in PLANTS {
        let mut fixtures = Fixtures::new(backend).await;
        fixtures.plant(commands);
        let before = fixtures.contents();
        let looked = recount(&fixtures.world.stores, false).await;
        assert_eq!(found(&looked), expected, "{commands}: {looked:?}");
        assert_eq!(looked.repaired, 0, "{commands}");
        assert_eq!(
            fixtures.contents(),
            before,
            "a recount without repair changes nothing"
        );

        let repaired = recount(&fixtures.world.stores, true).await;
        let mendable = expected != left;
        assert_eq!(repaired.repaired > 0, mendable, "{commands}: {repaired:?}");
        let again = recount(&fixtures.world.stores, true).await;
        assert_eq!(found(&again), left, "{commands}: {again:?}");
        assert_eq!(again.repaired, 0, "{commands}");
        assert_eq!(again.index, fixtures.world.census().await, "{commands}");
        assert_eq!(again.records.sessions, again.index.sessions, "{commands}");
        assert_eq!(again.records.users, again.index.users, "{commands}");
        fixtures.assert_conserved().await;

        // The store works as before: Ada logs in again, and all her sessions can be ended.
        let Fixtures { world, ada, .. } = &fixtures;
        let user = ada[0].user_id;
        if !commands.contains("A:u:z") {
            world.start(user, Role::Admin).await;
            let sessions = &world.stores.sessions;
            let listed = sessions.list_user(user).await.unwrap();
            assert_eq!(
                listed.len() as u64,
                world.census().await.sessions[2],
                "{commands}"
            );
            sessions
                .end_user(user, EndReason::Revoked, None)
                .await
                .unwrap();
        }
        fixtures.assert_conserved().await;
        let end = recount(&fixtures.world.stores, false).await;
        assert!(
            end.findings.iter().all(|it| it.kind == UnreadableRecord),
            "{commands}: {end:?}"
        );
    }
}

async fn what_is_mended_is_counted(backend: Backend) {
    let lost = EndReason::Lost.index();
    // Two sessions that were counted and no longer exist are counted as lost.
    let mut fixtures = Fixtures::new(backend).await;
    fixtures.plant("DEL A:s:S1 A:s:S2");
    recount(&fixtures.world.stores, true).await;
    let census = fixtures.world.census().await;
    assert_eq!(census.sessions, [1, 0, 0, 0]);
    assert_eq!(census.users, [1, 0, 0, 0]);
    assert_eq!(census.totals.started[2], 2);
    assert_eq!(census.totals.ended[2][lost], 2);
    assert_eq!(
        fixtures
            .ask(&["HGET", &fixtures.meant("A:n"), "lost"])
            .number(),
        2
    );

    // Two sessions whose index was lost together with its totals are counted as newly started; if only the totals were
    // lost, they are not.
    let mut fixtures = Fixtures::new(backend).await;
    let before = fixtures.world.census().await;
    fixtures.plant("DEL A:z A:a A:u:U");
    recount(&fixtures.world.stores, true).await;
    assert_eq!(fixtures.world.census().await, before);
    fixtures.plant("DEL A:z A:a A:u:U A:n");
    recount(&fixtures.world.stores, true).await;
    assert_eq!(fixtures.world.census().await, before);

    // A session whose record has another role counts as a change of its role.
    let mut fixtures = Fixtures::new(backend).await;
    fixtures.plant("SETRANGE A:s:S2 78 3");
    recount(&fixtures.world.stores, true).await;
    let census = fixtures.world.census().await;
    assert_eq!(census.sessions, [1, 0, 1, 1]);
    let changed = EndReason::RoleChanged.index();
    assert_eq!(census.totals.ended[2][changed], 1);
    assert_eq!(census.totals.started[3], 1);
}

async fn a_store_in_use_shows_no_difference(backend: Backend) {
    let fixtures = Fixtures::new(backend).await;
    let clock = Arc::clone(&fixtures.world.clock);
    let mut busy = JoinSet::new();
    for n in 0..6 {
        let stores = fixtures.world.stores.clone();
        let clock = Arc::clone(&clock);
        busy.spawn(async move {
            // Few users with many sessions each, so that each user sees many changes.
            let users = [resident(n), resident(n), resident(60)];
            for turn in 0.. {
                let user = users[turn % users.len()];
                let session = new_session(user, Role::ALL[turn % 4]);
                let (session, _) = stores.sessions.create(session, 4).await.unwrap();
                clock.advance(Duration::from_secs(1));
                let sessions = &stores.sessions;
                match turn % 5 {
                    0 => drop(sessions.end(&session.id, EndReason::Logout).await.unwrap()),
                    1 => drop(
                        sessions
                            .set_role(user, RoleUpdate::new(Role::User, 1))
                            .await
                            .unwrap(),
                    ),
                    2 => drop(
                        sessions
                            .touch(&session.id, IDLE, Duration::ZERO)
                            .await
                            .unwrap(),
                    ),
                    3 => {
                        clock.advance(Duration::from_mins(2));
                        sessions.reap(50).await.unwrap();
                    }
                    _ => drop(
                        sessions
                            .end_user(user, EndReason::Revoked, None)
                            .await
                            .unwrap(),
                    ),
                }
            }
        });
    }
    let started = || async {
        fixtures
            .world
            .census()
            .await
            .totals
            .started
            .iter()
            .sum::<u64>()
    };
    let before = started().await;
    for n in 0..20 {
        let recount = recount(&fixtures.world.stores, n % 2 == 0).await;
        assert_eq!(found(&recount), [], "{recount:?}");
        assert_eq!(recount.repaired, 0);
    }
    assert!(started().await > before + 20, "the store was not in use");
    busy.shutdown().await;
    let recount = recount(&fixtures.world.stores, false).await;
    assert_eq!(found(&recount), []);
    assert_eq!(recount.records.sessions, recount.index.sessions);
    assert_eq!(recount.records.users, recount.index.users);
}

macro_rules! on_redis_and_on_a_cluster {
    ($($contract:ident),+ $(,)?) => {
        mod on_redis {
            use crate::stores::world::Backend;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $contract() {
                    super::$contract(Backend::Redis).await;
                }
            )+
        }
        mod on_a_redis_cluster {
            use crate::stores::world::Backend;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $contract() {
                    super::$contract(Backend::RedisCluster).await;
                }
            )+
        }
    };
}

on_redis_and_on_a_cluster!(
    a_store_that_is_right_has_no_difference,
    each_difference_is_found_and_left_alone_then_mended,
    what_is_mended_is_counted,
    a_store_in_use_shows_no_difference,
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_sessions_are_recounted_and_indexed_anew() {
    const SESSIONS: usize = 20_000;
    let world = World::new(Backend::Redis).await;
    let users: Vec<UserId> = (0..SESSIONS / 2).map(|_| UserId::generate()).collect();
    for users in users.chunks(250) {
        let starts = users.iter().chain(users);
        join_all(starts.map(|user| world.start(*user, Role::User))).await;
    }
    let before = world.census().await;
    assert_eq!(before.sessions[0], SESSIONS as u64);
    let recounted = recount(&world.stores, false).await;
    assert_eq!(found(&recounted), []);
    assert_eq!(recounted.records.sessions, before.sessions);
    assert_eq!(recounted.records.users, before.users);

    let mut wire = redis_server().wire();
    for key in wire.scan(&format!("{{{}:??}}:[zau]*", world.prefix())) {
        wire.ask(&["DEL", &key]);
    }
    let lost = recount(&world.stores, false).await;
    assert_eq!(lost.count_of(RecordNotIndexed), SESSIONS as u64);
    assert_eq!(lost.records.sessions, before.sessions);
    assert_eq!(lost.records.users, before.users);
    assert_eq!(lost.index.sessions, [0; 4]);
    recount(&world.stores, true).await;
    assert_eq!(found(&recount(&world.stores, false).await), []);
    assert_eq!(world.census().await, before, "nothing was counted twice");
}

#[tokio::test]
async fn keys_of_others_are_passed_over() {
    let mut fixtures = Fixtures::new(Backend::Redis).await;
    // SCAN needs more than one iteration, so that some iterations find none of our keys.
    let others = "for i = 1, 5000 do redis.call('SET', ARGV[1] .. i, 'x', 'PX', 600000) end";
    let prefix = format!("{}-other:", fixtures.world.prefix());
    fixtures.ask(&["EVAL", others, "0", &prefix]);
    let recounted = recount(&fixtures.world.stores, true).await;
    assert_eq!(found(&recounted), []);
    assert_eq!(recounted.index.sessions, [1, 0, 2, 0]);
}

#[tokio::test]
async fn an_expired_session_whose_record_is_gone_is_left_to_the_reaper() {
    let mut fixtures = Fixtures::new(Backend::Redis).await;
    fixtures.world.advance(IDLE);
    fixtures.plant("DEL A:s:S1 A:s:S2");
    let recounted = recount(&fixtures.world.stores, true).await;
    assert_eq!(found(&recounted), []);
    assert_eq!(recounted.repaired, 0);
    while !fixtures
        .world
        .stores
        .sessions
        .reap(100)
        .await
        .unwrap()
        .is_empty()
    {}
    let census = fixtures.world.census().await;
    assert_eq!(census.expired, [0; 4]);
    assert_eq!(census.totals.ended[2][EndReason::Idle.index()], 2);
}

#[tokio::test]
async fn the_server_says_what_it_is() {
    let fixtures = Fixtures::new(Backend::Redis).await;
    let (stores, lease) = (&fixtures.world.stores, Duration::from_secs(20));
    let held = stores.observer.hold(uuid::Uuid::nil(), lease).await;
    assert!(held.unwrap().mine);
    let facts: BTreeMap<_, _> = stores
        .integrity
        .facts()
        .await
        .unwrap()
        .into_iter()
        .collect();
    assert_eq!(facts["store"], "redis");
    assert!(facts["version"].starts_with("redis 7."), "{facts:?}");
    assert_eq!(facts["mode"], "standalone");
    assert_eq!(
        facts["servers"],
        format!("127.0.0.1:{}", redis_server().port())
    );
    assert_eq!(facts["eviction"], "noeviction");
    assert_eq!(facts["memory_limit_bytes"], "none");
    assert_eq!(facts["append_only_file"], "no");
    assert_eq!(facts["observer_epoch"], "1");
    assert_ne!(facts["observer"], "none");
    let weight: u64 = facts["bytes_per_session"].parse().unwrap();
    assert!((200..3000).contains(&weight), "{weight}");

    let cluster = Fixtures::new(Backend::RedisCluster).await;
    let facts = cluster.world.stores.integrity.facts().await.unwrap();
    let facts: BTreeMap<_, _> = facts.into_iter().collect();
    assert_eq!(facts["mode"], "cluster");
    assert_eq!(facts["servers"].split(", ").count(), 3);
    assert_eq!(facts["observer"], "none");
}
