//! A Redis that becomes unavailable and recovers.

use std::time::Duration;

use skriptoteket::accounts::{Role, UserId};
use skriptoteket_testing::{
    proxy::{Proxy, Weather},
    redis::RedisServer,
    stores::new_session,
    wait::wait_until,
};

use crate::redis::harness::{Replica, SLACK, SOON, TIMEOUT, on_port, timed};

/// The limit for calls that must fail at once: half of the time that waiting would take.
const AT_ONCE: Duration = TIMEOUT.checked_div(2).unwrap();

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_costs_the_timeout_once_and_is_back_soon() {
    let server = RedisServer::start(&[]);
    let replica = Replica::on(&server).await;
    let session = replica.start().await.unwrap();
    server.freeze();
    let (first, took) = timed(replica.start()).await;
    first.unwrap_err();
    assert!(took < TIMEOUT + SLACK, "{took:?}");
    for _ in 0..20 {
        let (next, took) = timed(replica.start()).await;
        let why = next.unwrap_err().in_full();
        assert!(took < AT_ONCE, "{took:?}: {why}");
        assert!(
            why.contains("not connected to Redis at 127.0.0.1:"),
            "{why}"
        );
    }
    server.thaw();
    let back = replica.recovered().await;
    assert!(back < SOON, "{back:?}");
    assert!(replica.end(&session).await.unwrap());
    replica.live_by_all_counts(vec![server.wire()]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_has_its_sessions_again_after_its_restart() {
    let mut server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let replica = Replica::on(&server).await;
    for _ in 0..10 {
        replica.start().await.unwrap();
    }
    server.kill();
    let (refused, took) = timed(replica.start()).await;
    refused.unwrap_err();
    assert!(took < TIMEOUT + SLACK, "{took:?}");
    server.restart();
    let back = replica.recovered().await;
    assert!(back < SOON, "{back:?}");
    assert_eq!(replica.live_by_all_counts(vec![server.wire()]).await, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_whose_connection_breaks_fails_and_is_not_sent_again() {
    let server = RedisServer::start(&[]);
    let proxy = Proxy::to(server.port());
    let replica = Replica::open(on_port(proxy.port())).await;
    replica.start().await.unwrap();
    let calls = || {
        let stats = server.wire().ask(&["INFO", "commandstats"]).text();
        ["cmdstat_evalsha:calls=", "cmdstat_eval:calls="].map(|name| {
            let found = stats.lines().find_map(|line| line.strip_prefix(name));
            let count = found.and_then(|rest| rest.split(',').next());
            count.map_or(0, |count| count.parse::<u64>().unwrap())
        })
    };
    // The server receives the call, and its reply is lost. After a period without replies a PING is sent first, and it
    // may be that reply which is lost: then the call is not sent at all.
    let mut live = 1;
    loop {
        let before = calls();
        proxy.set(Weather::CutAnswer(1));
        replica.start().await.unwrap_err();
        proxy.set(Weather::Fair);
        let sent = calls()[0] - before[0];
        assert!(sent <= 1, "sent once");
        replica.recovered().await;
        live += sent;
        assert_eq!(replica.live_by_all_counts(vec![server.wire()]).await, live);
        if sent == 1 {
            break;
        }
        replica.start().await.unwrap();
        live += 1;
    }

    // The call itself is cut short: no part of it is executed.
    for length in [0, 1, 20, 60, 200] {
        proxy.set(Weather::CutRequest(length));
        replica.start().await.unwrap_err();
        proxy.set(Weather::Fair);
        replica.recovered().await;
    }
    assert_eq!(replica.live_by_all_counts(vec![server.wire()]).await, live);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_swallows_or_delays_costs_no_more_than_the_timeout() {
    let server = RedisServer::start(&[]);
    let proxy = Proxy::to(server.port());
    let replica = Replica::open(on_port(proxy.port())).await;
    for weather in [Weather::Silent, Weather::Slow(2 * TIMEOUT)] {
        proxy.set(weather);
        let (lost, took) = timed(replica.start()).await;
        lost.unwrap_err();
        assert!(took < TIMEOUT + SLACK, "{took:?}");
        proxy.set(Weather::Fair);
        // Calls in progress arrive late but complete.
        replica.recovered().await;
        replica.start().await.unwrap();
    }
    wait_until("no call is in progress", || {
        server
            .wire()
            .ask(&["CLIENT", "LIST"])
            .text()
            .contains("cmd=")
    });
    replica.live_by_all_counts(vec![server.wire()]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_that_broke_is_noticed_before_anybody_asks() {
    let server = RedisServer::start(&[]);
    let proxy = Proxy::to(server.port());
    let replica = Replica::open(on_port(proxy.port())).await;
    let taken = proxy.taken();
    proxy.cut();
    wait_until("there are new connections", || proxy.taken() >= taken + 2);
    replica.recovered().await;
    let session = replica.start().await.unwrap();
    assert!(replica.end(&session).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_that_the_server_forgot_are_sent_again() {
    let server = RedisServer::start(&[]);
    let replica = Replica::on(&server).await;
    let session = replica.start().await.unwrap();
    server.wire().ask(&["SCRIPT", "FLUSH"]);
    replica.start().await.unwrap();
    server.wire().ask(&["SCRIPT", "FLUSH"]);
    assert!(replica.end(&session).await.unwrap());
    assert_eq!(replica.live_by_all_counts(vec![server.wire()]).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_becomes_a_replica_is_given_up_until_it_is_none() {
    let (server, other) = (RedisServer::start(&[]), RedisServer::start(&[]));
    let replica = Replica::on(&server).await;
    let port = other.port().to_string();
    server.wire().ask(&["REPLICAOF", "127.0.0.1", &port]);
    replica.start().await.unwrap_err();
    let why = replica.why_away().await;
    assert!(why.contains("is a read-only replica"), "{why}");
    server.wire().ask(&["REPLICAOF", "NO", "ONE"]);
    replica.recovered().await;
    replica.start().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_that_were_answered_are_handed_out_whatever_comes_after() {
    /// The number of sessions that the reaper ends in one step; the reply for that many may be lost.
    const STEP: usize = 50;
    let server = RedisServer::start(&[]);
    let proxy = Proxy::to(server.port());
    let replica = Replica::open(on_port(proxy.port())).await;
    let sessions = &replica.stores.sessions;
    for length in (1_000..20_000).step_by(2_500) {
        let user = UserId::generate();
        for _ in 0..3 * STEP {
            let mut session = new_session(user, Role::User);
            session.idle = Duration::from_millis(1);
            sessions.create(session, 100).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        let ended = async || {
            let census = sessions.census().await.unwrap();
            census.totals.ended.iter().flatten().sum::<u64>()
        };
        let before = ended().await;
        proxy.set(Weather::CutAnswer(length));
        let handed_out = sessions.reap(500).await.map_or(0, |ends| ends.len());
        proxy.set(Weather::Fair);
        replica.recovered().await;
        let ended = usize::try_from(ended().await - before).unwrap();
        assert!(
            ended - handed_out <= STEP,
            "{handed_out} of {ended} after {length} bytes"
        );
        while !sessions.reap(500).await.unwrap().is_empty() {}
    }
    assert_eq!(replica.live_by_all_counts(vec![server.wire()]).await, 0);
}
