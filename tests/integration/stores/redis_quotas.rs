//! Quotas in Redis: the cost of a decision, and the keys that remain.

use std::{collections::BTreeMap, time::Duration};

use skriptoteket::{error::StoreError, services::LimitType};
use skriptoteket_testing::redis::{RedisServer, Reply};

use crate::stores::{
    quotas::{charge, forget, policy},
    world::{Backend, World, redis_server, registration, seconds},
};

/// Returns how often the server has run each command, including commands in scripts.
fn calls(server: &RedisServer) -> BTreeMap<String, u64> {
    let stats = server.wire().ask(&["INFO", "commandstats"]).text();
    let lines = stats.lines().filter_map(|it| it.strip_prefix("cmdstat_"));
    let call = |line: &str| {
        let (name, rest) = line.split_once(":calls=")?;
        Some((name.to_owned(), rest.split_once(',')?.0.parse().ok()?))
    };
    lines.filter_map(call).collect()
}

#[tokio::test]
async fn a_decision_is_one_command() {
    let server = RedisServer::start(&[]);
    let world = World::on(&server).await;
    let policy = policy(seconds(100), 50, Some(1_000));
    // The first decision loads the script.
    charge(&world, "stock", &policy).await;
    let before = calls(&server);
    for n in 0..80 {
        let refused = charge(&world, "orders", &policy).await.refused;
        assert_eq!(refused.is_some(), n >= 50);
    }
    let mut made = calls(&server);
    for (name, calls) in &mut made {
        *calls -= before.get(name).copied().unwrap_or(0);
    }
    // GET and SET are from the script; the other commands are from this test.
    made.retain(|name, calls| *calls > 0 && !matches!(name.as_str(), "info" | "ping"));
    let expected = [("evalsha", 80), ("get", 80), ("set", 50)];
    let expected = expected.map(|(name, calls)| (name.to_owned(), calls));
    assert_eq!(made, BTreeMap::from(expected));
}

#[tokio::test]
async fn a_server_that_has_forgotten_the_script_decides_as_before() {
    let server = RedisServer::start(&[]);
    let world = World::on(&server).await;
    let policy = policy(seconds(100), 3, None);
    for left in [Some(2), Some(1), Some(0), None] {
        let decision = charge(&world, "orders", &policy).await;
        assert_eq!(decision.refused.is_none(), left.is_some());
        assert_eq!(decision.allowance.remaining, left.unwrap_or(0));
        server.wire().ask(&["SCRIPT", "FLUSH"]);
    }
}

#[tokio::test]
async fn a_state_that_is_none_of_ours_is_none() {
    let world = World::new(Backend::Redis).await;
    let policy = policy(seconds(100), 1, Some(1));
    let mut wire = redis_server().wire();
    let key = format!("{{{}:quota:{}}}", world.prefix(), registration("orders"));
    for spoil in [
        ["SET", &key, "1 2"],
        ["SET", &key, "-1 2 3"],
        ["SET", &key, "1 2 3 4"],
        ["SET", &key, "99999999999999999999 1 1"],
        ["SET", &key, ""],
        ["SADD", &key, "1"],
    ] {
        wire.ask(&["DEL", &key]);
        wire.ask(&spoil);
        assert_eq!(
            charge(&world, "orders", &policy).await.refused,
            None,
            "{spoil:?}"
        );
        assert!(charge(&world, "orders", &policy).await.refused.is_some());
    }
}

#[tokio::test]
async fn a_state_outlives_what_it_says_by_an_hour_and_no_more() {
    let world = World::new(Backend::Redis).await;
    let mut wire = redis_server().wire();
    let mut lasts = |service: &str| {
        let key = format!("{{{}:quota:{}}}", world.prefix(), registration(service));
        match wire.ask(&["PTTL", &key]) {
            Reply::Number(left) => Duration::from_millis(left.unsigned_abs()),
            other => panic!("not a number: {other:?}"),
        }
    };
    // It is noon: the use of the day is relevant for another twelve hours.
    charge(&world, "orders", &policy(seconds(1), 1, None)).await;
    let left = lasts("orders");
    assert!(left <= Duration::from_hours(13) && left > Duration::from_mins(12 * 60 + 59));
    // The time of arrival is relevant for two days.
    let slow = policy(Duration::from_hours(24), 2, None);
    charge(&world, "stock", &slow).await;
    charge(&world, "stock", &slow).await;
    let left = lasts("stock");
    assert!(left <= Duration::from_hours(49) && left > Duration::from_mins(48 * 60 + 59));

    assert_eq!(world.keys().len(), 2);
    for service in ["orders", "stock"] {
        forget(&world, service).await;
    }
    assert_eq!(world.keys(), Vec::<String>::new());
}

#[tokio::test]
async fn a_full_server_is_unavailable_and_charges_nothing() {
    let server = RedisServer::start(&[]);
    let world = World::on(&server).await;
    let policy = policy(seconds(100), 2, None);
    charge(&world, "orders", &policy).await;
    server.wire().ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let refused = world
        .stores
        .quotas
        .charge(registration("orders"), &policy)
        .await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))));
    server.wire().ask(&["CONFIG", "SET", "maxmemory", "0"]);
    let decision = charge(&world, "orders", &policy).await;
    assert_eq!((decision.refused, decision.allowance.remaining), (None, 0));
    let refused = charge(&world, "orders", &policy).await.refused;
    assert_eq!(refused, Some((LimitType::Requests, seconds(100))));
}

#[tokio::test]
async fn a_server_that_is_gone_is_unavailable() {
    let mut server = RedisServer::start(&[]);
    let world = World::on(&server).await;
    let policy = policy(seconds(100), 2, None);
    charge(&world, "orders", &policy).await;
    server.kill();
    let quotas = &world.stores.quotas;
    let charged = quotas.charge(registration("orders"), &policy).await;
    assert!(matches!(charged, Err(StoreError::Unavailable(_))));
    // Services and tokens are in the file.
    assert!(world.stores.services.all().await.is_ok());
    assert!(world.stores.tokens.keys().await.is_ok());
}
