//! The contract of `SessionRepository`: all sessions of a user, their role, their maximum number, and lists of them.

use std::time::Duration;

use skriptoteket::{
    accounts::{Role, UserId},
    sessions::{EndReason, Ended, RoleUpdate, SessionFilter, SessionRecord},
};
use skriptoteket_testing::stores::{IDLE, new_session};

use crate::stores::world::{World, ended, seconds};

on_every_store!(
    all_sessions_of_a_user_end_but_the_one_to_keep,
    the_newest_login_gives_its_role_to_all,
    a_role_change_moves_live_sessions_only,
    the_oldest_live_sessions_make_room,
    sessions_that_have_expired_take_no_room,
    the_new_session_is_never_the_one_to_go,
    a_list_shows_the_newest_first,
    pages_follow_the_ids_and_meet_every_match_once,
    users_are_counted_once_and_only_while_a_session_lives,
);

fn ids(records: &[SessionRecord]) -> Vec<&str> {
    records.iter().map(|it| it.id.as_str()).collect()
}

async fn all_sessions_of_a_user_end_but_the_one_to_keep(world: World) {
    let sessions = &world.stores.sessions;
    let (user, other) = (UserId::generate(), UserId::generate());
    let kept = world.start(user, Role::User).await;
    let gone = world.start(user, Role::User).await;
    let others = world.start(other, Role::User).await;
    let ends = sessions
        .end_user(user, EndReason::Revoked, Some(&kept.id))
        .await
        .unwrap();
    assert_eq!(ends, [ended(&gone, EndReason::Revoked, Duration::ZERO)]);
    assert_eq!(
        ids(&sessions.list_user(user).await.unwrap()),
        [kept.id.as_str()]
    );

    let ends = sessions
        .end_user(user, EndReason::Revoked, None)
        .await
        .unwrap();
    assert_eq!(ends, [ended(&kept, EndReason::Revoked, Duration::ZERO)]);
    let ends = sessions
        .end_user(user, EndReason::Revoked, None)
        .await
        .unwrap();
    assert_eq!(ends, []);
    assert!(sessions.load(&others.id).await.unwrap().is_some());
}

async fn the_newest_login_gives_its_role_to_all(world: World) {
    let sessions = &world.stores.sessions;
    let user = UserId::generate();
    let first = world.start(user, Role::Superuser).await;
    // Cached, if there is a cache.
    assert!(sessions.load(&first.id).await.unwrap().is_some());
    world.start(user, Role::User).await;
    let loaded = sessions.load(&first.id).await.unwrap().unwrap();
    assert_eq!(loaded.role, Role::User);
    let counted = world.census().await;
    assert_eq!(
        (counted.sessions, counted.users),
        ([2, 0, 0, 0], [1, 0, 0, 0])
    );
    assert_eq!(counted.totals.started, [2, 0, 0, 1]);
    let role_changed = [0, 0, 0, 0, 0, 1, 0];
    assert_eq!(counted.totals.ended[Role::Superuser.index()], role_changed);
}

async fn a_role_change_moves_live_sessions_only(world: World) {
    let sessions = &world.stores.sessions;
    let (user, other) = (UserId::generate(), UserId::generate());
    let expired = world.start(user, Role::User).await;
    world.advance(IDLE);
    let live = world.start(user, Role::User).await;
    let others = world.start(other, Role::User).await;
    assert!(sessions.load(&live.id).await.unwrap().is_some());

    assert_eq!(
        sessions
            .set_role(user, RoleUpdate::new(Role::Admin, 1))
            .await
            .unwrap()
            .moved(),
        1
    );
    assert_eq!(
        sessions
            .set_role(user, RoleUpdate::new(Role::Admin, 1))
            .await
            .unwrap()
            .moved(),
        0
    );
    let role = |record: Option<SessionRecord>| record.map(|it| it.role);
    assert_eq!(
        role(sessions.load(&live.id).await.unwrap()),
        Some(Role::Admin)
    );
    assert_eq!(
        role(sessions.load(&others.id).await.unwrap()),
        Some(Role::User)
    );
    let counted = world.census().await;
    assert_eq!(counted.sessions, [1, 0, 1, 0]);
    assert_eq!(counted.users, [1, 0, 1, 0]);
    assert_eq!(counted.expired, [1, 0, 0, 0]);
    assert_eq!(counted.totals.started, [3, 0, 1, 0]);
    assert_eq!(counted.totals.ended[0], [0, 0, 0, 0, 0, 1, 0]);
    let reaped = sessions.reap(10).await.unwrap();
    assert_eq!(reaped, [ended(&expired, EndReason::Idle, IDLE)]);
}

async fn the_oldest_live_sessions_make_room(world: World) {
    let sessions = &world.stores.sessions;
    let user = UserId::generate();
    let mut started = Vec::new();
    for _ in 0..5 {
        world.advance(seconds(1));
        started.push(world.start(user, Role::User).await);
    }
    world.advance(seconds(1));
    let newest = new_session(user, Role::User);
    let (newest, evicted) = sessions.create(newest, 3).await.unwrap();
    let expected: Vec<Ended> = (started[..3].iter())
        .map(|it| ended(it, EndReason::Evicted, world.now().since(it.created_at)))
        .collect();
    assert_eq!(evicted, expected);
    for gone in &started[..3] {
        assert_eq!(sessions.load(&gone.id).await.unwrap(), None);
    }
    let left = sessions.list_user(user).await.unwrap();
    assert_eq!(
        ids(&left),
        ids(&[newest, started[4].clone(), started[3].clone()])
    );
    assert_eq!(world.census().await.totals.ended[0], [0, 0, 0, 0, 3, 0, 0]);
}

async fn sessions_that_have_expired_take_no_room(world: World) {
    let sessions = &world.stores.sessions;
    let user = UserId::generate();
    let expired = world.start(user, Role::User).await;
    world.advance(IDLE);
    let live = world.start(user, Role::User).await;
    let (_, evicted) = sessions
        .create(new_session(user, Role::User), 2)
        .await
        .unwrap();
    assert_eq!(evicted, []);
    assert!(sessions.load(&live.id).await.unwrap().is_some());
    let reaped = sessions.reap(10).await.unwrap();
    assert_eq!(reaped, [ended(&expired, EndReason::Idle, IDLE)]);
}

async fn the_new_session_is_never_the_one_to_go(world: World) {
    let sessions = &world.stores.sessions;
    let user = UserId::generate();
    for max in [0, 1] {
        let (new, _) = sessions
            .create(new_session(user, Role::User), max)
            .await
            .unwrap();
        assert_eq!(
            ids(&sessions.list_user(user).await.unwrap()),
            [new.id.as_str()]
        );
    }
}

async fn a_list_shows_the_newest_first(world: World) {
    let sessions = &world.stores.sessions;
    let (user, other) = (UserId::generate(), UserId::generate());
    let mut started = Vec::new();
    for _ in 0..4 {
        world.advance(seconds(1));
        started.insert(0, world.start(user, Role::User).await);
        world.start(other, Role::User).await;
    }
    assert_eq!(sessions.list_user(user).await.unwrap(), started);
    assert_eq!(sessions.list_user(UserId::generate()).await.unwrap(), []);
}

async fn pages_follow_the_ids_and_meet_every_match_once(world: World) {
    let sessions = &world.stores.sessions;
    let (ada, bob) = (UserId::generate(), UserId::generate());
    let mut all = Vec::new();
    for n in 0..10 {
        all.push(world.start(ada, Role::Admin).await);
        all.push(world.start(bob, Role::User).await);
        let role = Role::ALL[n % 4];
        all.push(world.start(UserId::generate(), role).await);
    }
    all.sort_by(|a, b| a.id.cmp(&b.id));
    let filters = [
        (None, None),
        (Some(Role::Admin), None),
        (Some(Role::Superuser), None),
        (None, Some(ada)),
        (Some(Role::Admin), Some(ada)),
        (Some(Role::Superuser), Some(ada)),
        (None, Some(UserId::generate())),
    ];
    for (role, user) in filters {
        let filter = SessionFilter { role, user };
        let matches: Vec<SessionRecord> = (all.iter())
            .filter(|it| role.is_none_or(|role| it.role == role))
            .filter(|it| user.is_none_or(|user| it.user_id == user))
            .cloned()
            .collect();
        let mut met = Vec::new();
        loop {
            let after = met.last().map(|it: &SessionRecord| it.id.clone());
            let page = sessions.page(filter, after.as_ref(), 4).await.unwrap();
            assert!(page.len() <= 4);
            if page.is_empty() {
                break;
            }
            met.extend(page);
        }
        assert_eq!(met, matches, "{filter:?}");
    }
    let none = sessions
        .page(SessionFilter::default(), None, 0)
        .await
        .unwrap();
    assert_eq!(none, []);
}

async fn users_are_counted_once_and_only_while_a_session_lives(world: World) {
    let sessions = &world.stores.sessions;
    let (ada, bob) = (UserId::generate(), UserId::generate());
    let first = world.start(ada, Role::Admin).await;
    let second = world.start(ada, Role::Admin).await;
    world.start(bob, Role::User).await;
    assert_eq!(world.census().await.users, [1, 0, 1, 0]);

    // The user counts under the role of the session that expires last; a touch may change which one that is.
    world.advance(IDLE.saturating_sub(seconds(10)));
    sessions.touch(&first.id, IDLE, seconds(60)).await.unwrap();
    world.advance(seconds(10));
    let counted = world.census().await;
    assert_eq!(
        (counted.sessions, counted.users),
        ([0, 0, 1, 0], [0, 0, 1, 0])
    );
    assert_eq!(counted.expired, [1, 0, 1, 0]);

    // The live session ends: no user is left, although an expired session is still in the store.
    world.end(&first).await.unwrap();
    assert_eq!(world.census().await.users, [0; 4]);
    assert_eq!(world.end(&second).await.unwrap().reason, EndReason::Idle);
    assert_eq!(world.census().await.users, [0; 4]);
    assert_eq!(sessions.reap(10).await.unwrap().len(), 1);
    let counted = world.census().await;
    assert_eq!((counted.users, counted.expired), ([0; 4], [0; 4]));
}
