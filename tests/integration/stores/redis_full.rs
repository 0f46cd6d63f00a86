//! A Redis whose memory is full: no session starts, every session can end, and live sessions continue.

use skriptoteket::{
    accounts::{Role, UserId},
    error::StoreError,
    guard::{AttemptId, Budget, Charge, Entity},
    sessions::{EndReason, RoleUpdate},
};
use skriptoteket_testing::{
    redis::RedisServer,
    stores::{IDLE, new_session},
};
use uuid::Uuid;

use crate::stores::world::{World, seconds};

#[tokio::test]
async fn a_full_server_refuses_what_begins_whole_and_lets_everything_end() {
    let server = RedisServer::start(&[]);
    let world = World::on(&server).await;
    let sessions = &world.stores.sessions;
    let (ada, bob) = (UserId::generate(), UserId::generate());
    let mut of_ada = Vec::new();
    for _ in 0..4 {
        of_ada.push(world.start(ada, Role::Admin).await);
    }
    world.start(bob, Role::User).await;
    server.wire().ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let before = world.census().await;

    // The login would also end one session and change the role of three.
    let refused = sessions.create(new_session(ada, Role::User), 4).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))));
    let budget = Budget {
        attempts: 1,
        refill: seconds(600),
        lock: seconds(30),
        longest_lock: seconds(30),
        forget: seconds(7200),
    };
    let charges =
        [Entity::Address(1), Entity::UnknownName(1)].map(|entity| Charge { entity, budget });
    let refused = world.stores.limits.reserve(AttemptId::generate(), &charges);
    let refused = refused.await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))));
    let refused = sessions.ping().await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))));
    // The observer may change: a full server must not stop the gauges.
    let other = world.another().await;
    for replica in [&world.stores, &other] {
        let lease = replica
            .observer
            .hold(Uuid::nil(), seconds(30))
            .await
            .unwrap();
        assert_eq!((lease.mine, lease.epoch > 0), (true, true));
        replica.observer.release().await.unwrap();
    }
    assert_eq!(world.census().await, before);
    assert_eq!(sessions.list_user(ada).await.unwrap().len(), 4);

    world.advance(seconds(90));
    let touched = sessions.touch(&of_ada[0].id, IDLE, seconds(1)).await;
    let touched = touched.unwrap().unwrap();
    assert_eq!(touched.expires_at, world.now().plus(IDLE));
    let new = new_session(ada, Role::Admin).id;
    let renewed = sessions.renew(&of_ada[0].id, ada, &new).await.unwrap();
    let update = RoleUpdate::new(Role::User, 1);
    assert_eq!(sessions.set_role(ada, update).await.unwrap().moved(), 4);
    assert_eq!(world.census().await.sessions, [5, 0, 0, 0]);
    assert!(world.end(&renewed.unwrap()).await.is_some());
    let ends = sessions.end_user(ada, EndReason::Revoked, None).await;
    assert_eq!(ends.unwrap().len(), 3);
    world.advance(IDLE);
    assert_eq!(sessions.reap(10).await.unwrap().len(), 1);
    let counted = world.census().await;
    assert_eq!((counted.sessions, counted.expired), ([0; 4], [0; 4]));

    server.wire().ask(&["CONFIG", "SET", "maxmemory", "0"]);
    sessions.ping().await.unwrap();
    world.start(ada, Role::User).await;
}
