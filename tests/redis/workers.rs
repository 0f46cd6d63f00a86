//! Runtimes of one thread, as HTTP workers have them, and their own connections.

use std::time::Duration;

use crate::{
    house::Replica,
    redis_servers::{RedisServer, Wire},
};

/// The numbers of all connections of others, oldest first.
fn connections(wire: &mut Wire) -> Vec<String> {
    let mine = wire.ask(&["CLIENT", "ID"]).number().to_string();
    let list = wire.ask(&["CLIENT", "LIST"]).text();
    let ids = list.lines().filter_map(|line| line.strip_prefix("id="));
    let ids = ids.filter_map(|line| line.split(' ').next());
    ids.filter(|id| *id != mine).map(str::to_owned).collect()
}

async fn wait_for_connections(wire: &mut Wire, is_so: impl Fn(&[String]) -> bool) -> Vec<String> {
    for _ in 0..6_000 {
        let now = connections(wire);
        if is_so(&now) {
            return now;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("waited in vain: {:?}", connections(wire));
}

#[tokio::test]
async fn a_worker_that_asks_gets_a_connection_of_its_own() {
    let server = RedisServer::start(&[]);
    let mut wire = server.wire();
    let replica = Replica::on(&server).await;
    let common = connections(&mut wire).len();
    let session = replica.start().await.unwrap();
    wait_for_connections(&mut wire, |now| now.len() == common + 1).await;
    let found = replica.stores.sessions.load(&session.id).await.unwrap();
    assert_eq!(found, Some(session));
    drop(replica);
    wait_for_connections(&mut wire, <[String]>::is_empty).await;
}

#[tokio::test]
async fn a_workers_connection_that_breaks_while_it_is_idle_is_made_anew_before_anybody_asks() {
    let server = RedisServer::start(&[]);
    let mut wire = server.wire();
    let replica = Replica::on(&server).await;
    let common = connections(&mut wire).len();
    let session = replica.start().await.unwrap();
    let all = wait_for_connections(&mut wire, |now| now.len() == common + 1).await;
    let own = all.last().unwrap();
    wire.ask(&["CLIENT", "KILL", "ID", own]);
    wait_for_connections(&mut wire, |now| {
        now.len() == common + 1 && !now.contains(own)
    })
    .await;
    for _ in 0..100 {
        let found = replica.stores.sessions.load(&session.id).await.unwrap();
        assert_eq!(found.as_ref(), Some(&session));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runtime_of_many_threads_shares_one() {
    let server = RedisServer::start(&[]);
    let mut wire = server.wire();
    let replica = Replica::on(&server).await;
    let common = connections(&mut wire);
    for _ in 0..100 {
        replica.start().await.unwrap();
    }
    assert_eq!(connections(&mut wire), common);
}
