//! A Cluster that loses a node, and one whose slots move.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use skriptoteket::{
    accounts::{Role, UserId},
    config::RedisTopology,
    sessions::EndReason,
};

use crate::{
    house::{PREFIX, Replica, at, new_session, settings},
    redis_servers::{RedisCluster, RedisServer, Reply, wait_until},
};

async fn on(cluster: &RedisCluster) -> Replica {
    let nodes = cluster.nodes.iter().map(|node| at(node.port())).collect();
    Replica::open(settings(RedisTopology::Cluster { nodes })).await
}

fn wires(cluster: &RedisCluster) -> Vec<crate::redis_servers::Wire> {
    cluster.nodes.iter().map(RedisServer::wire).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_dies_or_freezes_takes_only_its_own_shards_away() {
    let mut cluster = RedisCluster::start_with(
        3,
        &[
            "--cluster-require-full-coverage",
            "no",
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
        ],
    );
    let replica = on(&cluster).await;
    for is_killed in [true, false] {
        let mut live = Vec::new();
        for _ in 0..60 {
            live.push(replica.start().await.unwrap());
        }
        if is_killed {
            cluster.nodes[1].kill();
        } else {
            cluster.nodes[1].freeze();
        }
        // Until its loss is known to all a call may wait for it.
        let mut ended = 0;
        for session in &live {
            ended += usize::from(replica.end(session).await.unwrap_or(false));
        }
        assert!(
            (20..60).contains(&ended),
            "{ended} of 60 on two of three nodes"
        );
        replica.why_away().await;
        if is_killed {
            cluster.nodes[1].restart();
        } else {
            cluster.nodes[1].thaw();
        }
        replica.recovered().await;
        for session in &live {
            replica.end(session).await.unwrap();
        }
        assert_eq!(replica.live_by_all_counts(wires(&cluster)).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_that_move_under_load_lose_nothing() {
    let cluster = RedisCluster::start(3);
    let replica = Arc::new(on(&cluster).await);
    let stop = Arc::new(AtomicBool::new(false));
    let mut load = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (replica, stop) = (Arc::clone(&replica), Arc::clone(&stop));
        load.spawn(async move {
            let (mut done, mut left) = (0_u64, 0_u64);
            while !stop.load(Ordering::Relaxed) {
                // A call may be put off for as long as its slot is on the way: it is refused then, and not half done.
                let Ok(session) = replica.start().await else {
                    continue;
                };
                done += 1;
                if done % 4 == 0 || !replica.end(&session).await.unwrap_or(false) {
                    left += 1;
                }
            }
            left
        });
    }
    let moving = tokio::task::spawn_blocking(move || {
        for shard in 0..16 {
            move_slot(&cluster, &format!("{{{PREFIX}:{shard:02}}}"));
        }
        cluster
    });
    let cluster = moving.await.unwrap();
    stop.store(true, Ordering::Relaxed);
    let left: u64 = load.join_all().await.into_iter().sum();
    assert!(left > 0);
    assert_eq!(replica.live_by_all_counts(wires(&cluster)).await, left);
}

/// In a slot that is being moved a key that a script has emptied is a key of the other node: touching it again ends the
/// script where it stands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_session_of_a_shard_changes_and_ends_whole_while_its_slot_moves() {
    let cluster = RedisCluster::start(3);
    let replica = on(&cluster).await;
    let sessions = &replica.stores.sessions;
    for change in ["end", "end all", "expire", "move"] {
        let user = UserId::generate();
        let mut session = new_session(user);
        if change == "expire" {
            session.idle = Duration::from_millis(1);
        }
        let session = sessions.create(session, 100).await.unwrap().0;
        let shard = session.id.shard();
        let tag = format!("{{{PREFIX}:{shard:02}}}");
        let slot = slot_of(&cluster, &tag);
        let from = owner(&cluster, &tag);
        let to = (from + 1) % cluster.nodes.len();
        let (mut source, mut target) = (cluster.nodes[from].wire(), cluster.nodes[to].wire());
        let [from_id, to_id] =
            [&mut source, &mut target].map(|wire| wire.ask(&["CLUSTER", "MYID"]).text());
        target.ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
        source.ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
        tokio::time::sleep(Duration::from_millis(5)).await;
        let done = match change {
            "end" => usize::from(replica.end(&session).await.unwrap()),
            "end all" => {
                let ended = sessions.end_user(user, EndReason::Revoked, None).await;
                ended.unwrap().len()
            }
            "expire" => sessions.reap(10).await.unwrap().len(),
            _ => usize::from(sessions.set_role(user, Role::Admin).await.unwrap() == 1),
        };
        assert_eq!(done, 1, "{change}");
        for wire in [&mut source, &mut target] {
            wire.ask(&["CLUSTER", "SETSLOT", &slot, "STABLE"]);
        }
        let live = replica.live_by_all_counts(wires(&cluster)).await;
        assert_eq!(live, u64::from(change == "move"), "{change}");
    }
}

fn slot_of(cluster: &RedisCluster, tag: &str) -> String {
    let mut wire = cluster.nodes[0].wire();
    wire.ask(&["CLUSTER", "KEYSLOT", tag]).number().to_string()
}

/// Which node has the slot of a hash tag.
fn owner(cluster: &RedisCluster, tag: &str) -> usize {
    let owns = |node: &RedisServer| node.wire().ask(&["EXISTS", tag]) == Reply::Number(0);
    cluster.nodes.iter().position(owns).unwrap()
}

/// Moves the slot of a hash tag from its node to another, as `redis-cli --cluster reshard` does.
fn move_slot(cluster: &RedisCluster, tag: &str) {
    let nodes = &cluster.nodes;
    let (slot, from) = (slot_of(cluster, tag), owner(cluster, tag));
    let to = (from + 1) % nodes.len();
    let id = |node: &RedisServer| node.wire().ask(&["CLUSTER", "MYID"]).text();
    let (from_id, to_id) = (id(&nodes[from]), id(&nodes[to]));
    let (mut source, mut target) = (nodes[from].wire(), nodes[to].wire());
    target.ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
    source.ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
    let port = nodes[to].port().to_string();
    loop {
        let keys = source
            .ask(&["CLUSTER", "GETKEYSINSLOT", &slot, "3"])
            .texts();
        if keys.is_empty() {
            break;
        }
        let mut migrate = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
        migrate.extend(keys.iter().map(String::as_str));
        source.ask(&migrate);
    }
    for wire in [&mut target, &mut source] {
        wire.ask(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]);
    }
    for node in nodes {
        wait_until("all nodes know the new owner", || {
            let mut wire = node.wire();
            match wire.ask(&["EXISTS", tag]) {
                Reply::Error(error) => error.ends_with(&format!(":{port}")),
                _ => node.port() == nodes[to].port(),
            }
        });
    }
}
