use crate::{RedisAddress, RedisSettings, RedisTopology};
use std::time::Duration;

use redis::Value;
use secrecy::SecretString;
use skriptoteket_testing::redis::{RedisCluster, RedisServer};

use super::{
    super::{
        call::{Call, LuaScript},
        keys::Keys,
    },
    Connection, StoreClock,
};

static ADD: LuaScript = LuaScript::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");

fn at(port: u16) -> RedisAddress {
    RedisAddress {
        host: "127.0.0.1".into(),
        port,
    }
}

fn settings(topology: RedisTopology) -> RedisSettings {
    RedisSettings {
        topology,
        tls: false,
        tls_ca: None,
        username: None,
        password: None::<SecretString>,
        sentinel_password: None,
        key_prefix: "t".into(),
        connect_timeout: Duration::from_secs(5),
        allow_eviction: false,
    }
}

fn standalone(server: &RedisServer) -> RedisSettings {
    settings(RedisTopology::Standalone {
        server: at(server.port()),
        database: 0,
    })
}

async fn open(settings: &RedisSettings) -> Connection {
    Connection::open(settings, Duration::from_secs(30), StoreClock::Server, None)
        .await
        .unwrap()
}

fn add_to_all_shards() -> Vec<Call> {
    let keys = Keys::new("t".into());
    keys.shards()
        .map(|shard| Call::script(&ADD, vec![shard.totals()]).arg(1))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_shards_answer_at_once_also_after_a_script_flush() {
    let server = RedisServer::start(&[]);
    let connection = open(&standalone(&server)).await;
    assert_all_answer(&connection, 1).await;
    server.wire().ask(&["SCRIPT", "FLUSH"]);
    assert_all_answer(&connection, 2).await;
    connection.ping().await.unwrap();
    assert_eq!(connection.masters().await.unwrap().len(), 1);
}

async fn assert_all_answer(connection: &Connection, expected: i64) {
    let answers = connection
        .in_time(connection.call_all(add_to_all_shards()))
        .await
        .unwrap();
    assert_eq!(answers, vec![Value::Int(expected); 64]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shards_of_a_cluster_answer_at_once_each_from_its_node() {
    let cluster = RedisCluster::start(3);
    let topology = RedisTopology::Cluster {
        nodes: vec![at(cluster.nodes[0].port())],
    };
    let connection = open(&settings(topology)).await;
    assert_all_answer(&connection, 1).await;
    for node in &cluster.nodes {
        node.wire().ask(&["SCRIPT", "FLUSH"]);
    }
    assert_all_answer(&connection, 2).await;
    connection.ping().await.unwrap();
    let masters = connection.masters().await.unwrap();
    assert_eq!(masters.len(), 3);
    let mut keys = 0;
    for node in &masters {
        let Value::Int(size) = connection.ask(node, redis::cmd("DBSIZE")).await.unwrap() else {
            panic!("no number");
        };
        keys += size;
    }
    assert_eq!(keys, 64 + 3);
}
