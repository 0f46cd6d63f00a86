//! The contract of `SessionRepository::renew`: a new ID, and no other change.

use futures_util::future::join_all;
use skriptoteket::{
    accounts::{Role, UserId},
    error::StoreError,
    sessions::{EndReason, RoleUpdate, SessionFilter, SessionId, SessionRecord, SessionState},
};
use skriptoteket_testing::stores::{IDLE, new_session};

use crate::stores::{
    dropped::{ENOUGH, give_up_after, settled},
    redis_fixtures::{found, recount},
    world::{Backend, World, ended, redis_server, seconds},
};

on_every_store!(
    a_renewed_session_goes_on_under_its_new_id_and_is_dead_under_the_old_one,
    a_renewal_is_counted_neither_as_an_end_nor_as_a_start,
    a_renewed_session_keeps_its_place_among_those_of_its_user,
    the_role_of_a_key_falls_with_the_session_and_rises_with_a_new_key_only,
    what_is_not_live_or_of_somebody_else_is_not_renewed,
    a_new_id_that_is_taken_is_a_conflict_and_changes_nothing,
    of_many_renewals_at_once_one_is_made,
    a_renewal_given_up_was_made_whole_or_not_at_all,
);

async fn a_renewed_session_goes_on_under_its_new_id_and_is_dead_under_the_old_one(world: World) {
    let sessions = &world.stores.sessions;
    let user = UserId::generate();
    let old = world.start(user, Role::User).await;
    world.advance(seconds(90));
    let touched = sessions.touch(&old.id, IDLE, seconds(1)).await.unwrap();
    let state: SessionState = [("cart\n".to_owned(), "\"k\":0".to_owned())].into();
    assert!(sessions.update(&old.id, &state).await.unwrap());
    sessions
        .set_role(user, RoleUpdate::new(Role::Admin, 1))
        .await
        .unwrap();
    // Cached, if there is a cache.
    let loaded = sessions.load(&old.id).await.unwrap().unwrap();
    assert_eq!((loaded.role, loaded.key_role), (Role::Admin, Role::User));
    assert!(loaded.has_outgrown_its_key());
    world.advance(seconds(5));
    let new = new_session(user, Role::User).id;
    let renewed = sessions.renew(&old.id, user, &new).await.unwrap().unwrap();
    let expected = SessionRecord {
        id: new.clone(),
        role: Role::Admin,
        key_role: Role::Admin,
        state: state.clone(),
        ..touched.unwrap()
    };
    assert_eq!(renewed, expected);
    assert!(!renewed.has_outgrown_its_key());
    assert_eq!(sessions.load(&new).await.unwrap(), Some(expected.clone()));
    let own = sessions.list_user(user).await.unwrap();
    assert_eq!(own, std::slice::from_ref(&expected));
    let all = sessions.page(SessionFilter::default(), None, 9).await;
    assert_eq!(all.unwrap(), [expected]);

    assert_eq!(sessions.load(&old.id).await.unwrap(), None);
    let touched = sessions.touch(&old.id, IDLE, seconds(1)).await.unwrap();
    assert_eq!(touched, None);
    assert!(!sessions.update(&old.id, &state).await.unwrap());
    assert_eq!(world.end(&old).await, None);
    let kept = sessions.end_user(user, EndReason::Revoked, Some(&new));
    assert_eq!(kept.await.unwrap(), []);
    let lasted = seconds(95);
    let expected = ended(&renewed, EndReason::Logout, lasted);
    assert_eq!(world.end(&renewed).await, Some(expected));
}

async fn a_renewal_is_counted_neither_as_an_end_nor_as_a_start(world: World) {
    let sessions = &world.stores.sessions;
    let user = UserId::generate();
    let mut session = world.start(user, Role::User).await;
    world.start(user, Role::User).await;
    sessions
        .set_role(user, RoleUpdate::new(Role::Superuser, 1))
        .await
        .unwrap();
    let before = sessions.count().await.unwrap();
    for _ in 0..20 {
        let new = new_session(user, Role::User).id;
        let renewed = sessions.renew(&session.id, user, &new).await.unwrap();
        session = renewed.unwrap();
        // Its parts are unchanged, too: nothing that the ledger could mistake for a start or an end.
        assert_eq!(sessions.count().await.unwrap(), before);
    }
    assert_eq!(before.census.sessions, [0, 0, 0, 2]);
    let recounted = recount(&world.stores, false).await;
    assert_eq!(found(&recounted), []);
    assert_eq!(recounted.index, before.census);
    world.advance(IDLE);
    assert_eq!(sessions.reap(9).await.unwrap().len(), 2);
    assert_eq!(found(&recount(&world.stores, false).await), []);
}

async fn a_renewed_session_keeps_its_place_among_those_of_its_user(world: World) {
    let sessions = &world.stores.sessions;
    let user = UserId::generate();
    let oldest = world.start(user, Role::User).await;
    let mut others = Vec::new();
    for _ in 0..2 {
        world.advance(seconds(1));
        others.push(world.start(user, Role::User).await.id);
    }
    let new = new_session(user, Role::User).id;
    let renewed = sessions.renew(&oldest.id, user, &new).await;
    let renewed = renewed.unwrap().unwrap();
    let listed = sessions.list_user(user).await.unwrap();
    let listed: Vec<_> = listed.into_iter().map(|it| it.id).collect();
    assert_eq!(listed, [others[1].clone(), others[0].clone(), new]);
    let created = sessions.create(new_session(user, Role::User), 3).await;
    let (_, evicted) = created.unwrap();
    assert_eq!(
        evicted,
        [ended(&renewed, EndReason::Evicted, seconds(2))],
        "it is still the oldest session"
    );
}

async fn the_role_of_a_key_falls_with_the_session_and_rises_with_a_new_key_only(world: World) {
    use Role::{Admin, Contributor, Superuser, User};

    let sessions = &world.stores.sessions;
    let user = UserId::generate();
    let mut id = world.start(user, Role::Contributor).await.id;
    let roles = async |id: SessionId| {
        let record = sessions.load(&id).await.unwrap().unwrap();
        (record.role, record.key_role)
    };
    for (role, key_role) in [
        (Superuser, Contributor),
        (Admin, Contributor),
        (Contributor, Contributor),
        (User, User),
        (Contributor, User),
    ] {
        sessions
            .set_role(user, RoleUpdate::new(role, 1))
            .await
            .unwrap();
        assert_eq!(roles(id.clone()).await, (role, key_role));
    }
    // A login changes the role of the other sessions, up and down.
    for (role, key_role) in [(Admin, User), (User, User), (Superuser, User)] {
        let started = world.start(user, role).await;
        assert_eq!(started.key_role, role);
        assert_eq!(roles(id.clone()).await, (role, key_role));
        world.end(&started).await.unwrap();
    }
    for (role, falls_to) in [(Superuser, Admin), (Admin, User)] {
        sessions
            .set_role(user, RoleUpdate::new(role, 1))
            .await
            .unwrap();
        let new = new_session(user, role).id;
        sessions.renew(&id, user, &new).await.unwrap().unwrap();
        id = new;
        assert_eq!(roles(id.clone()).await, (role, role));
        sessions
            .set_role(user, RoleUpdate::new(falls_to, 1))
            .await
            .unwrap();
        assert_eq!(roles(id.clone()).await, (falls_to, falls_to));
    }
}

async fn what_is_not_live_or_of_somebody_else_is_not_renewed(world: World) {
    let sessions = &world.stores.sessions;
    let (user, other) = (UserId::generate(), UserId::generate());
    let over = world.start(user, Role::User).await;
    world.end(&over).await.unwrap();
    let expired = world.start(user, Role::User).await;
    world.advance(IDLE);
    let live = world.start(other, Role::User).await;
    let before = world.census().await;
    let never = new_session(user, Role::User);
    for id in [&over.id, &expired.id, &never.id, &live.id] {
        let new = new_session(user, Role::User).id;
        let renewed = sessions.renew(id, user, &new).await;
        assert_eq!(renewed.unwrap(), None);
        assert_eq!(sessions.load(&new).await.unwrap(), None);
    }
    assert_eq!(sessions.load(&live.id).await.unwrap(), Some(live));
    assert_eq!(world.census().await, before);
    let ends = sessions.reap(9).await.unwrap();
    assert_eq!(ends, [ended(&expired, EndReason::Idle, IDLE)]);
}

async fn a_new_id_that_is_taken_is_a_conflict_and_changes_nothing(world: World) {
    let sessions = &world.stores.sessions;
    let user = UserId::generate();
    let [one, two] = [
        world.start(user, Role::User).await,
        world.start(user, Role::User).await,
    ];
    let far = loop {
        let far = new_session(UserId::generate(), Role::User).id;
        if far.shard() != one.id.shard() {
            break far;
        }
    };
    let before = sessions.list_user(user).await.unwrap();
    for taken in [&two.id, &one.id, &far] {
        let refused = sessions.renew(&one.id, user, taken).await;
        // With its own ID, the session may continue.
        let unchanged = *taken == one.id && matches!(&refused, Ok(Some(it)) if *it == one);
        assert!(unchanged || matches!(refused, Err(StoreError::Conflict)));
        assert_eq!(sessions.list_user(user).await.unwrap(), before);
    }
    let recounted = recount(&world.stores, false).await;
    assert_eq!(found(&recounted), []);
}

async fn of_many_renewals_at_once_one_is_made(world: World) {
    let sessions = &world.stores.sessions;
    let user = UserId::generate();
    let mut id = world.start(user, Role::User).await.id;
    for _ in 0..10 {
        let ids: Vec<_> = (0..8).map(|_| new_session(user, Role::User).id).collect();
        let all = ids.iter().map(|new| sessions.renew(&id, user, new));
        let answers: Vec<_> = join_all(all)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let made: Vec<_> = answers.into_iter().flatten().collect();
        assert_eq!(made.len(), 1);
        assert_eq!(sessions.list_user(user).await.unwrap(), made);
        id = made[0].id.clone();
    }
    assert_eq!(world.census().await.totals.started, [1, 0, 0, 0]);
}

async fn a_renewal_given_up_was_made_whole_or_not_at_all(world: World) {
    let sessions = &world.stores.sessions;
    let user = UserId::generate();
    let mut last = world.start(user, Role::User).await.id;
    let before = world.census().await;
    let mut made = 0;
    for polls in 0..ENOUGH {
        let new = new_session(user, Role::User).id;
        let finished = give_up_after(polls, sessions.renew(&last, user, &new)).await;
        settled(&world).await;
        let left = sessions.list_user(user).await.unwrap();
        assert_eq!(left.len(), 1, "after {polls} polls");
        assert!([&last, &new].contains(&&left[0].id));
        assert!(finished.is_none() || left[0].id == new);
        assert_eq!(world.census().await, before);
        made += usize::from(left[0].id == new);
        last = left[0].id.clone();
    }
    assert!(made > 0);
    assert_eq!(found(&recount(&world.stores, false).await), []);
}

/// A record from a release that did not store the role of its key.
#[tokio::test]
async fn a_record_without_the_role_of_its_key_is_that_of_its_role() {
    let world = World::new(Backend::Redis).await;
    let sessions = &world.stores.sessions;
    let user = UserId::generate();
    let session = world.start(user, Role::User).await;
    let (shard, sid) = session.id.as_str().split_at(2);
    let key = format!("{{{}:{shard}}}:s:{sid}", world.prefix());
    let mut wire = redis_server().wire();
    let text = wire.ask(&["GET", &key]).text();
    let before = text.replace("{\"k\":0,", "{");
    assert_ne!(before, text);
    wire.ask(&["SET", &key, &before, "KEEPTTL"]);
    for role in [Role::Admin, Role::User, Role::Superuser] {
        sessions
            .set_role(user, RoleUpdate::new(role, 1))
            .await
            .unwrap();
        let loaded = sessions.load(&session.id).await.unwrap().unwrap();
        assert_eq!((loaded.role, loaded.key_role), (role, role));
        assert!(!loaded.has_outgrown_its_key());
    }
    let new = new_session(user, Role::User).id;
    let renewed = sessions.renew(&session.id, user, &new).await.unwrap();
    assert_eq!(renewed.unwrap().key_role, Role::Superuser);
    let bad = text.replace("{\"k\":0,", "{\"k\":4,");
    wire.ask(&["SET", &key, &bad]);
    let loaded = sessions.load(&session.id).await;
    assert!(matches!(loaded, Err(StoreError::Corrupt(_))), "{loaded:?}");
}
