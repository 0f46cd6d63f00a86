//! A Cluster that loses a node, and one whose slots are moved.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use skriptoteket::{
    accounts::{Role, UserId},
    sessions::{EndReason, RoleUpdate, RoleUpdated},
    store::RedisTopology,
};
use skriptoteket_testing::{
    redis::{RedisCluster, RedisServer, Reply, Wire},
    stores::{new_session, redis_at},
    wait::wait_until,
};

use crate::redis::harness::{PREFIX, Replica, settings};

async fn on(cluster: &RedisCluster) -> Replica {
    let nodes = cluster
        .nodes
        .iter()
        .map(|node| redis_at(node.port()))
        .collect();
    Replica::open(settings(RedisTopology::Cluster { nodes })).await
}

fn wires(cluster: &RedisCluster) -> Vec<Wire> {
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
        // A call may wait until all nodes know that the node is lost.
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
                // While its slot is being moved, a call may be deferred. It is then rejected, not half executed.
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_are_whole_in_a_slot_that_is_about_to_move() {
    let cluster = RedisCluster::start(3);
    let replica = on(&cluster).await;
    let sessions = &replica.stores.sessions;
    let revoked = EndReason::Revoked;
    for change in ["end", "end_user", "set_role", "reap"] {
        // It is the only session in its shard, so that a script leaves its keys empty.
        let user = UserId::generate();
        let mut session = new_session(user, Role::User);
        if change == "reap" {
            session.idle = Duration::from_millis(1);
        }
        let (session, _) = sessions.create(session, 100).await.unwrap();
        let tag = format!("{{{PREFIX}:{:02}}}", session.id.shard());
        let way = Way::of(&cluster, &tag);
        way.begin();
        tokio::time::sleep(Duration::from_millis(5)).await;
        let left = match change {
            "end" => sessions.end(&session.id, revoked).await.map(|_| 0),
            "end_user" => sessions.end_user(user, revoked, None).await.map(|_| 0),
            "set_role" => sessions
                .set_role(user, RoleUpdate::new(Role::Admin, 1))
                .await
                .map(RoleUpdated::moved),
            _ => sessions.reap(10).await.map(|ends| 1 - ends.len() as u64),
        };
        way.go();
        replica.recovered().await;
        let live = replica.live_by_all_counts(wires(&cluster)).await;
        assert_eq!(live, left.unwrap(), "{change}");
        sessions.end_user(user, revoked, None).await.unwrap();
    }
}

/// Moves the slot of a hash tag from one node to another, as `redis-cli --cluster reshard` does.
fn move_slot(cluster: &RedisCluster, tag: &str) {
    let way = Way::of(cluster, tag);
    way.begin();
    way.go();
}

/// A slot that is being moved from one node to another.
struct Way<'a> {
    nodes: &'a [RedisServer],
    tag: &'a str,
    slot: String,
    from: usize,
    to: usize,
}

impl<'a> Way<'a> {
    fn of(cluster: &'a RedisCluster, tag: &'a str) -> Self {
        let nodes = &cluster.nodes;
        let slot = nodes[0].wire().ask(&["CLUSTER", "KEYSLOT", tag]).number();
        let owns = |node: &RedisServer| node.wire().ask(&["EXISTS", tag]) == Reply::Number(0);
        let from = nodes.iter().position(owns).unwrap();
        Self {
            nodes,
            tag,
            slot: slot.to_string(),
            from,
            to: (from + 1) % nodes.len(),
        }
    }

    fn id(&self, node: usize) -> String {
        self.nodes[node].wire().ask(&["CLUSTER", "MYID"]).text()
    }

    /// Marks the slot as migrating and importing on the two nodes.
    fn begin(&self) {
        let (from, to) = (self.id(self.from), self.id(self.to));
        for (node, what, other) in [(self.to, "IMPORTING", from), (self.from, "MIGRATING", to)] {
            let mut wire = self.nodes[node].wire();
            wire.ask(&["CLUSTER", "SETSLOT", &self.slot, what, &other]);
        }
    }

    /// Moves the keys, and waits until all nodes know the new owner.
    fn go(&self) {
        let (mut source, mut target) = (self.nodes[self.from].wire(), self.nodes[self.to].wire());
        let to = self.id(self.to);
        let port = self.nodes[self.to].port().to_string();
        loop {
            let keys = source
                .ask(&["CLUSTER", "GETKEYSINSLOT", &self.slot, "3"])
                .texts();
            if keys.is_empty() {
                break;
            }
            let mut migrate = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            migrate.extend(keys.iter().map(String::as_str));
            source.ask(&migrate);
        }
        for wire in [&mut target, &mut source] {
            wire.ask(&["CLUSTER", "SETSLOT", &self.slot, "NODE", &to]);
        }
        for node in self.nodes {
            wait_until("all nodes know the new owner", || {
                let mut wire = node.wire();
                match wire.ask(&["EXISTS", self.tag]) {
                    Reply::Error(error) => error.ends_with(&format!(":{port}")),
                    _ => node.port() == self.nodes[self.to].port(),
                }
            });
        }
    }
}
