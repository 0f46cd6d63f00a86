//! Failovers by Sentinel, and writes that a replica has confirmed.

use std::{sync::Arc, time::Duration};

use skriptoteket::{accounts::UserId, sessions::EndReason, store::RedisTopology};
use skriptoteket_testing::{
    redis::{MASTER, RedisServer, SentinelPair, Wire},
    stores::redis_at,
    wait::wait_until,
};
use tokio::{task::JoinSet, time::Instant};

use crate::redis::harness::{Replica, settings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_new_master_is_used_without_a_restart() {
    let mut pair = SentinelPair::start(3);
    let replica = Replica::open(settings(RedisTopology::Sentinel {
        // An unreachable Sentinel is tolerated.
        sentinels: std::iter::once(1)
            .chain(pair.ports())
            .map(redis_at)
            .collect(),
        master: MASTER.into(),
        database: 0,
    }))
    .await;
    let session = replica.start().await.unwrap();
    let user = UserId::generate();
    replica.start_of(user).await.unwrap();
    // The revocation was confirmed by the replica, so the failover must not undo it.
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

    // The old master returns as a replica and is not mistaken for the master.
    pair.servers[0].restart();
    wait_until("the old master follows the new one", || {
        // The Sentinels close its client connections when they reconfigure it as a replica.
        let wire = Wire::connect(pair.servers[0].port());
        let info = wire.and_then(|mut wire| wire.try_ask(&["INFO", "replication"]));
        info.is_ok_and(|info| info.text().contains("role:slave"))
    });
    replica.start().await.unwrap();
    let wires = vec![pair.servers[1].wire()];
    assert_eq!(replica.live_by_all_counts(wires).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_waits_for_the_replica_and_goes_on_without_it() {
    let master = RedisServer::start(&[]);
    let replica = RedisServer::start_replica(&master, &[]);
    let service = Replica::on(&master).await;
    let sessions = &service.stores.sessions;
    let user = UserId::generate();
    let revoke_all = async || {
        service.start_of(user).await.unwrap();
        let revoked = sessions.end_user(user, EndReason::Revoked, None);
        assert_eq!(revoked.await.unwrap().len(), 1);
    };
    let revoke_one = async || {
        let one = service.start_of(user).await.unwrap();
        let revoked = sessions.end(&one.id, EndReason::Revoked).await;
        assert!(revoked.unwrap().is_some());
    };
    // After a replica failed to confirm in time, later calls do not wait for it for one second.
    until_waited_for(&master, revoke_all).await;
    until_waited_for(&master, revoke_one).await;
    // The replica confirms nothing now; the revocation is still valid.
    replica.freeze();
    until_waited_for(&master, revoke_all).await;
}

/// Repeats revocations until the server is asked to wait for its replica.
async fn until_waited_for(master: &RedisServer, revoke: impl AsyncFn()) {
    let before = waits(master);
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        revoke().await;
        if waits(master) > before {
            return;
        }
        assert!(Instant::now() < deadline, "no call waits for the replica");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_has_stopped_holds_up_neither_many_revocations_nor_anyone_else() {
    let master = RedisServer::start(&[]);
    let replica = RedisServer::start_replica(&master, &[]);
    let service = Arc::new(Replica::on(&master).await);
    let bystander = service.start().await.unwrap();
    let users: Vec<UserId> = (0..30).map(|_| UserId::generate()).collect();
    for user in &users {
        service.start_of(*user).await.unwrap();
    }
    replica.freeze();
    let mut revocations = JoinSet::new();
    for user in users {
        let service = Arc::clone(&service);
        revocations.spawn(async move {
            let sessions = &service.stores.sessions;
            let revoked = sessions.end_user(user, EndReason::Revoked, None).await;
            assert_eq!(revoked.unwrap().len(), 1);
        });
    }
    while !revocations.is_empty() {
        let loaded = service.stores.sessions.load(&bystander.id).await;
        assert_eq!(loaded.unwrap().as_ref(), Some(&bystander));
        let soon = tokio::time::timeout(Duration::from_millis(5), revocations.join_next());
        if let Ok(Some(revoked)) = soon.await {
            revoked.unwrap();
        }
    }

    // Calls wait for it again once it confirms again.
    replica.thaw();
    let before = waits(&master);
    let deadline = Instant::now() + Duration::from_mins(1);
    while waits(&master) == before {
        assert!(Instant::now() < deadline, "no call waits any more");
        let one = service.start().await.unwrap();
        let revoked = service
            .stores
            .sessions
            .end(&one.id, EndReason::Revoked)
            .await;
        assert!(revoked.unwrap().is_some());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Returns how often the server was asked to wait for a replica.
fn waits(server: &RedisServer) -> u32 {
    let stats = server.wire().ask(&["INFO", "commandstats"]).text();
    let found = stats
        .lines()
        .find_map(|line| line.strip_prefix("cmdstat_wait:calls="));
    let count = found.and_then(|rest| rest.split(',').next());
    count.map_or(0, |count| count.parse().unwrap())
}
