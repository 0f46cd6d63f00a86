//! Overload: full memory, and many callers on an unavailable server.

use std::{sync::Arc, time::Duration};

use skriptoteket_testing::{
    proxy::{Proxy, Weather},
    redis::RedisServer,
};
use tokio::time::Instant;

use crate::redis::harness::{Replica, on_port};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_memory_refuses_starts_whole_and_lets_sessions_end() {
    let server = RedisServer::start(&[]);
    let replica = Replica::on(&server).await;
    let mut live = Vec::new();
    for _ in 0..20 {
        live.push(replica.start().await.unwrap());
    }
    let mut wire = server.wire();
    wire.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    for _ in 0..20 {
        replica.start().await.unwrap_err();
    }
    let why = replica.why_away().await;
    assert!(why.contains("is full: raise its maxmemory"), "{why}");
    assert_eq!(replica.live_by_all_counts(vec![server.wire()]).await, 20);
    for session in &live[..5] {
        assert!(replica.end(session).await.unwrap());
    }
    assert_eq!(replica.live_by_all_counts(vec![server.wire()]).await, 15);
    wire.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    replica.stores.sessions.ping().await.unwrap();
    replica.start().await.unwrap();
    assert_eq!(replica.live_by_all_counts(vec![server.wire()]).await, 16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_before_a_server_that_is_gone_makes_no_storm() {
    let server = RedisServer::start(&[]);
    let proxy = Proxy::to(server.port());
    let replica = Arc::new(Replica::open(on_port(proxy.port())).await);
    for weather in [Weather::CutAnswer(0), Weather::Silent] {
        proxy.set(weather);
        let before = proxy.taken();
        // 400 calls in two seconds, or in more on a busy machine.
        let started_at = Instant::now();
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..400_u64 {
            let replica = Arc::clone(&replica);
            calls.spawn(async move {
                tokio::time::sleep(Duration::from_millis(5 * number)).await;
                replica.start().await.unwrap_err();
            });
        }
        calls.join_all().await;
        // 50, 100, 200, 400, 800 ms, 1 s …, at least half of each; a failed attempt checks once whether the port speaks
        // TLS. So there are at most 20 attempts in the first two seconds, and four in each later second.
        let made = proxy.taken() - before;
        let took = started_at.elapsed();
        let most = 20 + 4 * usize::try_from(took.as_secs().saturating_sub(1)).unwrap();
        assert!(made <= most, "{made} connections in {took:?}");
        proxy.set(Weather::Fair);
        proxy.cut();
        replica.recovered().await;
        replica.start().await.unwrap();
    }
    replica.live_by_all_counts(vec![server.wire()]).await;
}
