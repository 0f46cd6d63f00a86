//! Start-up checks: faults that the operator has to fix before the service starts.

use skriptoteket::store::{RedisFault, RedisTopology};
use skriptoteket_testing::{
    ports::free_port,
    redis::{RedisCluster, RedisServer, SentinelPair},
    stores::redis_at,
};

use crate::redis::harness::{Replica, fault, on_port, settings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_said_so() {
    let server = RedisServer::start(&["--requirepass", "right-password"]);
    let mut settings = on_port(server.port());
    settings.password = Some("wrong-password".into());
    let fault = fault(settings.clone()).await;
    assert!(matches!(fault, RedisFault::Credentials { .. }), "{fault}");
    assert_eq!(
        fault.to_string(),
        format!(
            "Redis at 127.0.0.1:{} rejects the user name or the password; give those of a user that is enabled there in \
             `redis_url`, or in `redis_username` and `redis_password`",
            server.port()
        )
    );
    settings.password = Some("right-password".into());
    Replica::open(settings).await.start().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_is_missing_or_too_many_is_said_so() {
    let server = RedisServer::start(&["--requirepass", "right-password"]);
    let missing = fault(on_port(server.port())).await;
    assert!(
        matches!(missing, RedisFault::PasswordMissing { .. }),
        "{missing}"
    );

    let server = RedisServer::start(&[]);
    let mut settings = on_port(server.port());
    settings.password = Some("some-password".into());
    let unknown = fault(settings).await;
    assert!(
        matches!(unknown, RedisFault::PasswordUnknown { .. }),
        "{unknown}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_is_disabled_or_may_too_little_is_said_so() {
    let server = RedisServer::start(&[]);
    for user in [
        "idle off >ours-only ~* +@all",
        "reader on >ours-only ~* +@all -@scripting",
        "halves on >ours-only ~* +@all -setrange",
        "neighbour on >ours-only ~{neighbour:* +@all",
        "service on >ours-only ~{test:* +@all -@dangerous +info",
    ] {
        let words: Vec<&str> = ["ACL", "SETUSER"]
            .into_iter()
            .chain(user.split(' '))
            .collect();
        server.wire().ask(&words);
    }
    let mut settings = on_port(server.port());
    settings.username = Some("idle".into());
    settings.password = Some("ours-only".into());
    let disabled = fault(settings.clone()).await;
    assert!(
        matches!(disabled, RedisFault::Credentials { .. }),
        "{disabled}"
    );
    settings.username = Some("reader".into());
    let weak = fault(settings.clone()).await;
    assert!(
        matches!(weak, RedisFault::NotPermitted { what: "EVAL", .. }),
        "{weak}"
    );
    // A script that is stopped at its second write would leave the first write behind.
    settings.username = Some("halves".into());
    let weak = fault(settings.clone()).await;
    let RedisFault::NotPermitted { what, .. } = weak else {
        panic!("{weak}");
    };
    assert_eq!(what, "SETRANGE");
    settings.username = Some("neighbour".into());
    let weak = fault(settings.clone()).await;
    assert!(
        matches!(weak, RedisFault::KeysNotPermitted { .. }),
        "{weak}"
    );
    settings.username = Some("service".into());
    let replica = Replica::open(settings).await;
    replica.start().await.unwrap();
    server
        .wire()
        .ask(&["ACL", "SETUSER", "service", "resetkeys"]);
    let why = replica.why_away().await;
    assert!(why.contains("does not permit it: NOPERM"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_there_is_said_so() {
    let server = RedisServer::start(&["--databases", "4"]);
    let database = |database| {
        settings(RedisTopology::Standalone {
            server: redis_at(server.port()),
            database,
        })
    };
    let fault = fault(database(4)).await;
    assert!(
        matches!(fault, RedisFault::Database { database: 4, .. }),
        "{fault}"
    );
    let replica = Replica::open(database(3)).await;
    replica.start().await.unwrap();
    assert!(server.info("keyspace", "db3").starts_with("keys="));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_replica_is_said_so() {
    let master = RedisServer::start(&[]);
    let replica = RedisServer::start_replica(&master, &[]);
    let fault = fault(on_port(replica.port())).await;
    assert!(matches!(fault, RedisFault::Replica { .. }), "{fault}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_evicting_policy_is_refused_unless_it_is_accepted() {
    let server = RedisServer::start(&["--maxmemory-policy", "volatile-ttl"]);
    let mut settings = on_port(server.port());
    let fault = fault(settings.clone()).await;
    let RedisFault::Eviction { policy, .. } = &fault else {
        panic!("{fault}");
    };
    assert_eq!(policy, "volatile-ttl");
    assert!(fault.to_string().contains("`redis_allow_eviction = true`"));
    settings.allow_eviction = true;
    Replica::open(settings).await.start().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_redis_is_said_so() {
    let web = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = web.local_addr().unwrap().port();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for visitor in web.incoming() {
            let mut visitor = visitor.unwrap();
            let _ = visitor.read(&mut [0; 1024]);
            let _ = visitor.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let fault = fault(on_port(port)).await;
    assert!(matches!(fault, RedisFault::NotRedis { .. }), "{fault}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_kind_of_server_given_as_another_is_said_so() {
    let cluster = RedisCluster::start(3);
    let node = cluster.nodes[0].port();
    let as_single = fault(on_port(node)).await;
    assert!(
        matches!(as_single, RedisFault::ClusterNode { .. }),
        "{as_single}"
    );

    let single = RedisServer::start(&[]);
    let nodes = vec![redis_at(single.port())];
    let as_cluster = fault(settings(RedisTopology::Cluster { nodes })).await;
    assert!(
        matches!(as_cluster, RedisFault::NoCluster { .. }),
        "{as_cluster}"
    );

    let watched = |port, master: &str| {
        settings(RedisTopology::Sentinel {
            sentinels: vec![redis_at(port)],
            master: master.into(),
            database: 0,
        })
    };
    let as_sentinel = fault(watched(single.port(), "sessions")).await;
    assert!(
        matches!(as_sentinel, RedisFault::NoSentinel { .. }),
        "{as_sentinel}"
    );

    let pair = SentinelPair::start(1);
    let sentinel = pair.ports()[0];
    let unknown = fault(watched(sentinel, "others")).await;
    assert!(
        matches!(unknown, RedisFault::UnknownMaster { .. }),
        "{unknown}"
    );
    let as_server = fault(on_port(sentinel)).await;
    assert!(
        matches!(as_server, RedisFault::IsSentinel { .. }),
        "{as_server}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_there_yet_is_waited_for() {
    let mut server = RedisServer::start(&[]);
    server.kill();
    let replica = Replica::on(&server).await;
    let why = replica.why_away().await;
    let place = format!("not connected to Redis at 127.0.0.1:{}: ", server.port());
    assert!(why.contains(&place) && why.contains("refused"), "{why}");
    server.restart();
    replica.recovered().await;
    replica.start().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_nobody_knows_may_be_known_later() {
    let mut settings = on_port(free_port());
    settings.topology = RedisTopology::Standalone {
        server: skriptoteket::store::RedisAddress {
            host: "redis.invalid".into(),
            port: 6379,
        },
        database: 0,
    };
    let replica = Replica::open(settings).await;
    let why = replica.why_away().await;
    assert!(
        why.contains("not connected to Redis at redis.invalid:6379: "),
        "{why}"
    );
}
