//! Masters that die while Sentinels watch, and what a replica has confirmed.

use skriptoteket::{accounts::UserId, config::RedisTopology, sessions::EndReason};

use crate::{
    house::{Replica, at, settings},
    redis_servers::{MASTER, RedisServer, SentinelPair, wait_until},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_new_master_is_used_without_a_restart() {
    let mut pair = SentinelPair::start(3);
    let replica = Replica::open(settings(RedisTopology::Sentinel {
        // One that is not there is no matter.
        sentinels: std::iter::once(1).chain(pair.ports()).map(at).collect(),
        master: MASTER.into(),
        database: 0,
    }))
    .await;
    let session = replica.start().await.unwrap();
    let user = UserId::generate();
    replica.start_of(user).await.unwrap();
    // Revoked, and confirmed by the replica: it must not come back with the failover.
    let sessions = &replica.stores.sessions;
    let revoked = sessions.end_user(user, EndReason::Revoked, None);
    assert_eq!(revoked.await.unwrap().len(), 1);
    let new = pair.servers[1].port();
    pair.servers[0].kill();
    wait_until("there is a new master", || pair.master_port() == new);
    replica.recovered().await;
    assert!(sessions.list_user(user).await.unwrap().is_empty());
    assert!(replica.end(&session).await.unwrap());
    replica.start().await.unwrap();
    let wires = vec![pair.servers[1].wire()];
    assert_eq!(replica.live_by_all_counts(wires).await, 1);

    // The old master comes back and takes itself for one. Nobody else does.
    pair.servers[0].restart();
    assert_eq!(pair.servers[0].info("replication", "role"), "master");
    replica.start().await.unwrap();
    let wires = vec![pair.servers[1].wire()];
    assert_eq!(replica.live_by_all_counts(wires).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_waits_for_the_replica_and_goes_on_without_it() {
    let master = RedisServer::start(&[]);
    let replica = RedisServer::start_replica(&master, &[]);
    let service = Replica::on(&master).await;
    let user = UserId::generate();
    let revoke = async || {
        service.start_of(user).await.unwrap();
        let revoked = service
            .stores
            .sessions
            .end_user(user, EndReason::Revoked, None);
        assert_eq!(revoked.await.unwrap().len(), 1);
    };
    let waits = || {
        let stats = master.wire().ask(&["INFO", "commandstats"]).text();
        let found = stats
            .lines()
            .find_map(|line| line.strip_prefix("cmdstat_wait:calls="));
        let count = found.and_then(|rest| rest.split(',').next());
        count.map_or(0, |count| count.parse::<u32>().unwrap())
    };
    revoke().await;
    let confirmed = waits();
    assert!(confirmed > 0);
    // It confirms nothing now; the revocation holds all the same.
    replica.freeze();
    revoke().await;
    assert!(waits() > confirmed);
}
