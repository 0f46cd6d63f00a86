//! The version of an account decides which role wins, even if a write arrives late, and which sessions end.

use skriptoteket::{
    accounts::{Role, UserId},
    sessions::{EndReason, NewSession, RoleUpdate, RoleUpdated, SessionId},
};
use skriptoteket_testing::stores::new_session;

use crate::stores::world::{World, ended, seconds};

on_every_store!(
    a_login_that_read_an_older_version_starts_under_the_role_in_force,
    an_older_version_cannot_set_the_role_after_a_newer_one,
    accounts_that_went_back_set_the_role_once_the_newer_version_is_known,
    the_role_in_force_does_not_depend_on_sessions,
    sessions_of_older_versions_end_and_no_others,
);

/// Returns a new session that was created from this version of the account.
fn session_at(user: UserId, role: Role, version: i64) -> NewSession {
    NewSession {
        account_version: version,
        ..new_session(user, role)
    }
}

async fn set(world: &World, user: UserId, role: Role, version: i64) -> RoleUpdated {
    let update = RoleUpdate::new(role, version);
    let sessions = &world.stores.sessions;
    sessions.set_role(user, update).await.unwrap()
}

async fn start(world: &World, session: NewSession) -> Role {
    let sessions = &world.stores.sessions;
    let (record, _) = sessions.create(session, 10).await.unwrap();
    let loaded = sessions.load(&record.id).await.unwrap();
    assert_eq!(loaded.as_ref(), Some(&record));
    record.role
}

async fn role_of(world: &World, id: &SessionId) -> Option<Role> {
    let loaded = world.stores.sessions.load(id).await.unwrap();
    loaded.map(|it| it.role)
}

async fn a_login_that_read_an_older_version_starts_under_the_role_in_force(world: World) {
    let user = UserId::generate();
    let first = session_at(user, Role::Admin, 6);
    let id = first.id.clone();
    assert_eq!(start(&world, first).await, Role::Admin);
    assert_eq!(
        set(&world, user, Role::User, 7).await,
        RoleUpdated::Moved(1)
    );

    // This login read the account before the demotion and writes after it.
    let late = session_at(user, Role::Admin, 6);
    assert_eq!(start(&world, late).await, Role::User);
    assert_eq!(role_of(&world, &id).await, Some(Role::User));
    let counted = world.census().await;
    assert_eq!(counted.sessions, [2, 0, 0, 0]);
    assert_eq!(counted.users, [1, 0, 0, 0]);
    assert_eq!(counted.totals.started, [2, 0, 1, 0]);

    // A login that read a newer version brings the newer role.
    let newer = session_at(user, Role::Contributor, 8);
    assert_eq!(start(&world, newer).await, Role::Contributor);
    assert_eq!(role_of(&world, &id).await, Some(Role::Contributor));
}

async fn an_older_version_cannot_set_the_role_after_a_newer_one(world: World) {
    let user = UserId::generate();
    let session = session_at(user, Role::User, 2);
    let id = session.id.clone();
    start(&world, session).await;
    assert_eq!(
        set(&world, user, Role::User, 9).await,
        RoleUpdated::Moved(0)
    );
    let outdated = RoleUpdated::Outdated { newest: 9 };
    assert_eq!(set(&world, user, Role::Superuser, 8).await, outdated);
    assert_eq!(role_of(&world, &id).await, Some(Role::User));
    // The same version again, and other versions.
    assert_eq!(
        set(&world, user, Role::Admin, 9).await,
        RoleUpdated::Moved(1)
    );
    assert_eq!(
        set(&world, user, Role::User, 10).await,
        RoleUpdated::Moved(1)
    );
    let another = UserId::generate();
    assert_eq!(
        set(&world, another, Role::Admin, 1).await,
        RoleUpdated::Moved(0)
    );
}

async fn accounts_that_went_back_set_the_role_once_the_newer_version_is_known(world: World) {
    let user = UserId::generate();
    let session = session_at(user, Role::Admin, 9);
    let id = session.id.clone();
    start(&world, session).await;
    set(&world, user, Role::Admin, 9).await;
    let mut update = RoleUpdate::new(Role::User, 4);
    let sessions = &world.stores.sessions;
    let outdated = RoleUpdated::Outdated { newest: 9 };
    assert_eq!(sessions.set_role(user, update).await.unwrap(), outdated);
    update.replaces = 9;
    let moved = sessions.set_role(user, update).await.unwrap();
    assert_eq!(moved, RoleUpdated::Moved(1));
    assert_eq!(role_of(&world, &id).await, Some(Role::User));
    // From here on this version is the newest.
    assert_eq!(
        set(&world, user, Role::Admin, 5).await,
        RoleUpdated::Moved(1)
    );
}

async fn the_role_in_force_does_not_depend_on_sessions(world: World) {
    let user = UserId::generate();
    assert_eq!(
        set(&world, user, Role::User, 3).await,
        RoleUpdated::Moved(0)
    );
    let late = session_at(user, Role::Superuser, 2);
    assert_eq!(start(&world, late).await, Role::User);
    world.advance(seconds(600));
    let late = session_at(user, Role::Superuser, 2);
    assert_eq!(start(&world, late).await, Role::User);
    assert_eq!(world.census().await.totals.started, [2, 0, 0, 0]);
}

async fn sessions_of_older_versions_end_and_no_others(world: World) {
    let sessions = &world.stores.sessions;
    let (user, other) = (UserId::generate(), UserId::generate());
    let mut all = Vec::new();
    for (user, version) in [(user, 3), (user, 4), (user, 5), (user, 12), (other, 1)] {
        let session = session_at(user, Role::Admin, version);
        let (record, _) = sessions.create(session, 10).await.unwrap();
        all.push(record);
    }
    assert_eq!(sessions.end_older(user, 3).await.unwrap(), []);
    let lasted = seconds(7);
    world.advance(lasted);
    let expected = [0, 1].map(|n| ended(&all[n], EndReason::Revoked, lasted));
    let mut old = sessions.end_older(user, 5).await.unwrap();
    old.sort_by_key(|it| it.id != all[0].id);
    assert_eq!(old, expected);
    assert_eq!(sessions.end_older(user, 5).await.unwrap(), []);
    let counted = world.census().await;
    assert_eq!(counted.sessions, [0, 0, 3, 0]);
    assert_eq!(counted.users, [0, 0, 2, 0]);
    let last = sessions.end_older(user, 13).await.unwrap();
    assert_eq!(last.len(), 2);
    assert_eq!(world.census().await.users, [0, 0, 1, 0]);
    assert_eq!(role_of(&world, &all[4].id).await, Some(Role::Admin));
}
