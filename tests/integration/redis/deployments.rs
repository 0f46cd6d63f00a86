//! The owner of the keys in Redis: servers with different accounts databases are kept apart.

use std::time::Duration;

use skriptoteket::store::{OpenError, RedisFault, RedisSettings, RedisTopology};
use skriptoteket_testing::{
    redis::{RedisCluster, RedisServer, Wire},
    stores::redis_at,
    wait::wait_until,
};
use uuid::Uuid;

use crate::redis::harness::{PREFIX, Replica, new_accounts, on_port, settings};

const TTL: Duration = Duration::from_secs(10);

fn key() -> String {
    format!("{{{PREFIX}:observer}}:deployment")
}

fn owner(wire: &mut Wire) -> String {
    wire.ask(&["GET", &key()]).text()
}

/// Opens a replica of another deployment, which must be rejected.
async fn assert_refused(redis: RedisSettings) {
    let directory = tempfile::tempdir().unwrap();
    let other = new_accounts(directory.path()).await;
    match Replica::of_deployment(&other, redis).await {
        Err(OpenError::Redis(fault @ RedisFault::OtherDeployment { .. })) => {
            let told = fault.to_string();
            assert!(told.contains("session reset"), "{told}");
            assert!(
                told.contains(&format!("redis_key_prefix {PREFIX}")),
                "{told}"
            );
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the replica was not rejected"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keys_belong_to_the_first_deployment_also_when_it_is_gone() {
    let server = RedisServer::start(&[]);
    let first = Replica::on(&server).await;
    assert_eq!(owner(&mut server.wire()).len(), 32);
    assert_refused(on_port(server.port())).await;
    // A replica with a copy of the database belongs to the same deployment.
    drop(Replica::on(&server).await);
    drop(first);
    assert_refused(on_port(server.port())).await;
    Replica::on(&server).await.start().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_start_at_once_one_is_refused() {
    for _ in 0..10 {
        let server = RedisServer::start(&[]);
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let one = new_accounts(one.path()).await;
        let other_accounts = new_accounts(other.path()).await;
        let redis = || on_port(server.port());
        let (one, other) = tokio::join!(
            Replica::of_deployment(&one, redis()),
            Replica::of_deployment(&other_accounts, redis()),
        );
        assert!(one.is_ok() != other.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_cluster_the_node_that_has_the_key_decides() {
    let cluster = RedisCluster::start(3);
    let topology = || RedisTopology::Cluster {
        nodes: vec![redis_at(cluster.nodes[0].port())],
    };
    let first = Replica::open(settings(topology())).await;
    first.start().await.unwrap();
    assert_refused(settings(topology())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_is_claimed_too() {
    let server = RedisServer::start(&["--maxmemory-policy", "noeviction"]);
    server.wire().ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let replica = Replica::on(&server).await;
    replica.start().await.unwrap_err();
    assert_eq!(owner(&mut server.wire()).len(), 32);
    assert_refused(on_port(server.port())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_lost_is_written_again_and_what_another_one_took_meanwhile_is_told() {
    let server = RedisServer::start(&[]);
    let replica = Replica::on(&server).await;
    let observer = &replica.stores.observer;
    observer.hold(Uuid::nil(), TTL).await.unwrap();
    let mut wire = server.wire();
    let ours = owner(&mut wire);
    wire.ask(&["FLUSHALL"]);
    assert!(observer.hold(Uuid::nil(), TTL).await.unwrap().mine);
    assert_eq!(owner(&mut wire), ours);

    wire.ask(&["FLUSHALL"]);
    let other = "f".repeat(32);
    wire.ask(&["SET", &key(), &other]);
    let why = observer.hold(Uuid::nil(), TTL).await.unwrap_err().in_full();
    assert!(why.contains("another deployment"), "{why}");
    // From then on no keys of the other deployment are queried.
    let told = || futures_util::FutureExt::now_or_never(replica.why_away());
    wait_until("the fault is known", || {
        told().is_some_and(|why| why.contains("keeps the sessions of another accounts database"))
    });
    replica.start().await.unwrap_err();
    assert_eq!(owner(&mut wire), other);
}
