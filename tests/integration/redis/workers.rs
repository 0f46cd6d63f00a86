//! Single-threaded runtimes, as HTTP workers have them, with their own connections.

use std::time::Duration;

use skriptoteket::error::StoreError;
use skriptoteket_testing::redis::{RedisServer, Wire};

use crate::redis::harness::{PREFIX, Replica};

/// Returns the IDs of all other connections, oldest first.
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
    panic!("timed out: {:?}", connections(wire));
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

/// Returns how often the server received this command.
fn calls(wire: &mut Wire, command: &str) -> u64 {
    let stats = wire.ask(&["INFO", "commandstats"]).text();
    let field = format!("cmdstat_{command}:calls=");
    let stat = stats.lines().find_map(|line| line.strip_prefix(&field));
    stat.map_or(0, |stat| stat.split(',').next().unwrap().parse().unwrap())
}

#[tokio::test]
async fn what_a_worker_reads_at_the_same_moment_it_reads_in_one_command_and_each_gets_its_own() {
    let server = RedisServer::start(&[]);
    let mut wire = server.wire();
    let replica = Replica::on(&server).await;
    let mut sessions = Vec::new();
    for _ in 0..200 {
        sessions.push(replica.start().await.unwrap());
    }
    // One session has ended, the key of one holds another type, and the record of one is truncated.
    replica.end(&sessions[7]).await.unwrap();
    let key = |n: usize| {
        let (shard, sid) = sessions[n].id.as_str().split_at(2);
        format!("{{{PREFIX}:{shard}}}:s:{sid}")
    };
    wire.ask(&["DEL", &key(8)]);
    wire.ask(&["LPUSH", &key(8), "something else"]);
    wire.ask(&["SETRANGE", &key(9), "0", "cut"]);

    let before = calls(&mut wire, "mget");
    let reads = sessions
        .iter()
        .map(|it| replica.stores.sessions.load(&it.id));
    let found = futures_util::future::join_all(reads).await;
    for (n, (session, found)) in sessions.iter().zip(found).enumerate() {
        match n {
            7 => assert!(matches!(found, Ok(None)), "{found:?}"),
            8 | 9 => assert!(matches!(found, Err(StoreError::Corrupt(_))), "{found:?}"),
            _ => assert_eq!(found.unwrap().as_ref(), Some(session)),
        }
    }
    let commands = calls(&mut wire, "mget") - before;
    assert!((1..=20).contains(&commands), "{commands}");
}

#[tokio::test]
async fn reads_of_one_moment_all_hear_of_it_when_the_server_dies_or_is_silent() {
    let mut server = RedisServer::start(&[]);
    let replica = Replica::on(&server).await;
    let session = replica.start().await.unwrap();
    for is_killed in [false, true] {
        if is_killed {
            server.kill();
        } else {
            server.freeze();
        }
        let reads = (0..50).map(|_| replica.stores.sessions.load(&session.id));
        for found in futures_util::future::join_all(reads).await {
            assert!(
                matches!(found, Err(StoreError::Unavailable(_))),
                "{found:?}"
            );
        }
        if !is_killed {
            server.thaw();
            replica.recovered().await;
            let found = replica.stores.sessions.load(&session.id).await.unwrap();
            assert_eq!(found.as_ref(), Some(&session));
        }
    }
}
