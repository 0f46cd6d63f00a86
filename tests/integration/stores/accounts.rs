//! The contract of `AccountRepository`.

use secrecy::ExposeSecret;
use skriptoteket::{
    accounts::{AccountChange, AccountError, Profile, Role, User, UserId},
    error::StoreError,
    store::Stores,
};

use crate::stores::world::{World, name, new_account, profile};

on_every_store!(
    an_added_account_is_found_by_its_name_and_its_id,
    a_name_is_given_once,
    accounts_are_listed_in_the_order_they_were_made_in,
    a_store_without_accounts_says_so,
    a_change_raises_the_version_and_marks_the_account,
    a_change_that_changes_nothing_leaves_version_and_mark,
    a_new_profile_leaves_version_and_mark,
    nobody_who_is_not_there_is_changed_or_deleted,
    the_last_superuser_stays,
    a_disabled_superuser_is_not_in_charge,
    others_change_freely_where_nobody_is_in_charge,
    a_hash_is_made_anew_without_the_end_of_sessions,
    a_password_is_replaced_only_if_it_still_is_the_old_one,
    a_password_is_set_and_touches_nothing_else,
    a_deleted_account_is_gone_and_its_name_is_free,
    a_mark_is_taken_off_only_for_the_version_it_was_read_with,
    an_account_that_is_gone_counts_as_settled,
    of_two_superusers_who_demote_each_other_one_fails,
    of_two_superusers_who_delete_each_other_one_fails,
    accounts_survive_a_restart,
);

const DISABLE: AccountChange = AccountChange {
    role: None,
    disabled: Some(true),
    display_name: None,
    email: None,
};

const fn to(role: Role) -> AccountChange {
    AccountChange {
        role: Some(role),
        disabled: None,
        display_name: None,
        email: None,
    }
}

async fn change(world: &World, id: UserId, change: AccountChange) -> Option<User> {
    world.stores.accounts.change(id, change).await.unwrap()
}

async fn current(world: &World, id: UserId) -> User {
    let account = world.stores.accounts.find(id).await.unwrap();
    account.unwrap().user
}

async fn an_added_account_is_found_by_its_name_and_its_id(world: World) {
    let accounts = &world.stores.accounts;
    let added = world.add("ada", Role::Admin).await;
    let created = added.created_at.as_millis();
    assert_eq!((added.version, added.disabled), (created, false));
    assert_eq!((added.role, &added.username), (Role::Admin, &name("ada")));
    assert_eq!(added.created_at, world.now());
    assert_eq!(added.profile, profile());

    let by_name = accounts.find_by_username(&name("ada")).await.unwrap();
    let by_id = accounts.find(added.id).await.unwrap();
    for found in [by_name.unwrap(), by_id.unwrap()] {
        assert_eq!(found.user, added);
        assert_eq!(found.password_hash.expose_secret(), "hash of ada");
    }
    let nobody = accounts.find_by_username(&name("bob")).await.unwrap();
    assert!(nobody.is_none());
    assert!(accounts.find(UserId::generate()).await.unwrap().is_none());
    assert_eq!(accounts.unsettled(10).await.unwrap(), []);
    accounts.ping().await.unwrap();
}

async fn a_name_is_given_once(world: World) {
    let first = world.add("ada", Role::User).await;
    let again = world
        .stores
        .accounts
        .add(new_account("ada", Role::Superuser));
    assert!(matches!(again.await, Err(StoreError::Conflict)));
    assert_eq!(world.stores.accounts.list(None, 10).await.unwrap(), [first]);
}

async fn accounts_are_listed_in_the_order_they_were_made_in(world: World) {
    let accounts = &world.stores.accounts;
    let mut made = Vec::new();
    for n in 0..7 {
        made.push(world.add(&format!("user{n}"), Role::User).await);
    }
    assert_eq!(accounts.list(None, 100).await.unwrap(), made);
    assert_eq!(accounts.list(None, 3).await.unwrap(), made[..3]);
    assert_eq!(
        accounts.list(Some(made[2].id), 3).await.unwrap(),
        made[3..6]
    );
    assert_eq!(accounts.list(Some(made[6].id), 3).await.unwrap(), []);
    assert_eq!(accounts.list(None, 0).await.unwrap(), []);
}

async fn a_store_without_accounts_says_so(world: World) {
    assert!(world.stores.accounts.is_empty().await.unwrap());
    let only = world.add("ada", Role::User).await;
    assert!(!world.stores.accounts.is_empty().await.unwrap());
    assert!(world.stores.accounts.delete(only.id).await.unwrap());
    assert!(world.stores.accounts.is_empty().await.unwrap());
}

async fn a_change_raises_the_version_and_marks_the_account(world: World) {
    let user = world.add("ada", Role::User).await;
    let promoted = change(&world, user.id, to(Role::Admin)).await.unwrap();
    let expected = User {
        role: Role::Admin,
        version: user.version + 1,
        ..user
    };
    assert_eq!(promoted, expected);
    assert_eq!(current(&world, expected.id).await, expected);

    let disabled = change(&world, expected.id, DISABLE).await.unwrap();
    let version = expected.version + 1;
    assert_eq!((disabled.version, disabled.disabled), (version, true));
    assert_eq!(
        (expected.sessions_since, disabled.sessions_since),
        (0, version)
    );
    let unsettled = world.stores.accounts.unsettled(10).await.unwrap();
    assert_eq!(unsettled, [disabled]);
}

async fn a_change_that_changes_nothing_leaves_version_and_mark(world: World) {
    let user = world.add("ada", Role::Contributor).await;
    let same = AccountChange {
        role: Some(Role::Contributor),
        disabled: Some(false),
        display_name: Some(user.profile.display_name.clone()),
        email: Some(user.profile.email.clone()),
    };
    for nothing in [same, AccountChange::default()] {
        assert_eq!(change(&world, user.id, nothing).await, Some(user.clone()));
    }
    assert_eq!(world.stores.accounts.unsettled(10).await.unwrap(), []);
}

async fn a_new_profile_leaves_version_and_mark(world: World) {
    let user = world.add("ada", Role::Superuser).await;
    let renamed = AccountChange {
        display_name: Some(Some("Ada".parse().unwrap())),
        email: Some(None),
        ..AccountChange::default()
    };
    let expected = User {
        profile: Profile {
            display_name: Some("Ada".parse().unwrap()),
            email: None,
        },
        ..user.clone()
    };
    let changed = change(&world, user.id, renamed.clone()).await;
    assert_eq!(changed.as_ref(), Some(&expected));
    assert_eq!(current(&world, user.id).await, expected);
    assert_eq!(world.stores.accounts.unsettled(10).await.unwrap(), []);

    // Together with a role, it is one change; and a profile does not settle what is unsettled.
    let second = world.add("second", Role::User).await;
    let both = AccountChange {
        role: Some(Role::Admin),
        ..renamed
    };
    let both = change(&world, second.id, both).await.unwrap();
    assert_eq!((both.role, &both.profile), (Role::Admin, &expected.profile));
    let without_name = AccountChange {
        display_name: Some(None),
        ..AccountChange::default()
    };
    let last = change(&world, second.id, without_name).await.unwrap();
    assert_eq!(
        (last.version, last.profile),
        (both.version, Profile::default())
    );
    assert_eq!(world.stores.accounts.unsettled(10).await.unwrap().len(), 1);
}

async fn nobody_who_is_not_there_is_changed_or_deleted(world: World) {
    world.add("root", Role::Superuser).await;
    let nobody = UserId::generate();
    assert_eq!(change(&world, nobody, DISABLE).await, None);
    assert!(!world.stores.accounts.delete(nobody).await.unwrap());
}

async fn the_last_superuser_stays(world: World) {
    let accounts = &world.stores.accounts;
    let root = world.add("root", Role::Superuser).await;
    world.add("admin", Role::Admin).await;
    for removal in [to(Role::Admin), to(Role::User), DISABLE] {
        let refused = accounts.change(root.id, removal).await;
        assert!(matches!(refused, Err(AccountError::LastSuperuser)));
    }
    let refused = accounts.delete(root.id).await;
    assert!(matches!(refused, Err(AccountError::LastSuperuser)));
    assert_eq!(current(&world, root.id).await, root);
    assert_eq!(accounts.unsettled(10).await.unwrap(), []);

    let second = world.add("second", Role::Superuser).await;
    assert!(change(&world, root.id, to(Role::User)).await.is_some());
    let refused = accounts.delete(second.id).await;
    assert!(matches!(refused, Err(AccountError::LastSuperuser)));
    assert!(accounts.delete(root.id).await.unwrap());
}

async fn a_disabled_superuser_is_not_in_charge(world: World) {
    let accounts = &world.stores.accounts;
    let root = world.add("root", Role::Superuser).await;
    let off = world.add("off", Role::Superuser).await;
    assert!(change(&world, off.id, DISABLE).await.is_some());
    let refused = accounts.change(root.id, DISABLE).await;
    assert!(matches!(refused, Err(AccountError::LastSuperuser)));
    // The disabled superuser may be changed and deleted: that leaves the number of active superusers unchanged.
    assert!(change(&world, off.id, to(Role::User)).await.is_some());
    assert!(accounts.delete(off.id).await.unwrap());
    // The rule does not apply to a change that keeps the last superuser active.
    assert!(change(&world, root.id, to(Role::Superuser)).await.is_some());
}

async fn others_change_freely_where_nobody_is_in_charge(world: World) {
    let user = world.add("ada", Role::Admin).await;
    assert!(change(&world, user.id, to(Role::User)).await.is_some());
    assert!(change(&world, user.id, DISABLE).await.is_some());
    assert!(world.stores.accounts.delete(user.id).await.unwrap());
}

/// Returns the account as it is after a new password: earlier sessions have to end.
fn with_new_password(user: &User) -> User {
    let version = user.version + 1;
    User {
        version,
        sessions_since: version,
        ..user.clone()
    }
}

async fn a_hash_is_made_anew_without_the_end_of_sessions(world: World) {
    let accounts = &world.stores.accounts;
    let user = world.add("ada", Role::User).await;
    let (old, new) = ("hash of ada".into(), "better hash".into());
    assert!(accounts.upgrade_hash(user.id, &old, &new).await.unwrap());
    assert!(!accounts.upgrade_hash(user.id, &old, &new).await.unwrap());
    let account = accounts.find(user.id).await.unwrap().unwrap();
    assert_eq!(account.password_hash.expose_secret(), "better hash");
    assert_eq!(account.user, user);
    assert_eq!(accounts.unsettled(10).await.unwrap(), []);
}

async fn a_password_is_replaced_only_if_it_still_is_the_old_one(world: World) {
    let accounts = &world.stores.accounts;
    let user = world.add("ada", Role::User).await;
    let (old, new) = ("hash of ada".into(), "better hash".into());
    assert!(
        accounts
            .replace_password(user.id, &old, &new)
            .await
            .unwrap()
    );
    assert!(
        !accounts
            .replace_password(user.id, &old, &"late".into())
            .await
            .unwrap()
    );
    let nobody = accounts.replace_password(UserId::generate(), &old, &new);
    assert!(!nobody.await.unwrap());
    let account = accounts.find(user.id).await.unwrap().unwrap();
    assert_eq!(account.password_hash.expose_secret(), "better hash");
    assert_eq!(account.user, with_new_password(&user));
    assert_eq!(accounts.unsettled(10).await.unwrap(), [account.user]);
}

async fn a_password_is_set_and_touches_nothing_else(world: World) {
    let accounts = &world.stores.accounts;
    let user = world.add("ada", Role::User).await;
    let other = world.add("bob", Role::User).await;
    let new = "new".into();
    assert!(accounts.set_password(user.id, &new).await.unwrap());
    let nobody = accounts.set_password(UserId::generate(), &new).await;
    assert!(!nobody.unwrap());
    let account = accounts.find(user.id).await.unwrap().unwrap();
    assert_eq!(account.password_hash.expose_secret(), "new");
    assert_eq!(account.user, with_new_password(&user));
    assert_eq!(accounts.unsettled(10).await.unwrap(), [account.user]);
    let other = accounts.find(other.id).await.unwrap().unwrap();
    assert_eq!(other.password_hash.expose_secret(), "hash of bob");
}

async fn a_deleted_account_is_gone_and_its_name_is_free(world: World) {
    let accounts = &world.stores.accounts;
    let first = world.add("ada", Role::User).await;
    assert!(accounts.delete(first.id).await.unwrap());
    assert!(!accounts.delete(first.id).await.unwrap());
    assert!(accounts.find(first.id).await.unwrap().is_none());
    let second = world.add("ada", Role::User).await;
    assert_ne!(first.id, second.id);
}

async fn a_mark_is_taken_off_only_for_the_version_it_was_read_with(world: World) {
    let accounts = &world.stores.accounts;
    let mut ids = Vec::new();
    for n in 0..5 {
        let user = world.add(&format!("user{n}"), Role::User).await;
        change(&world, user.id, to(Role::Admin)).await;
        ids.push(user.id);
    }
    assert_eq!(accounts.unsettled(3).await.unwrap().len(), 3);

    // The account was changed again after it was read, so the mark stays.
    let read = current(&world, ids[0]).await;
    change(&world, ids[0], to(Role::Contributor)).await;
    assert!(!accounts.settle(ids[0], read.version).await.unwrap());
    assert_eq!(accounts.unsettled(10).await.unwrap().len(), 5);

    assert!(accounts.settle(ids[0], read.version + 1).await.unwrap());
    let left: Vec<UserId> = accounts
        .unsettled(10)
        .await
        .unwrap()
        .iter()
        .map(|it| it.id)
        .collect();
    assert_eq!(left, ids[1..]);
    // Repeating it is harmless, and an outdated version is still not the current one.
    assert!(accounts.settle(ids[0], read.version + 1).await.unwrap());
    assert!(!accounts.settle(ids[0], read.version).await.unwrap());
    assert_eq!(current(&world, ids[0]).await.version, read.version + 1);
}

async fn an_account_that_is_gone_counts_as_settled(world: World) {
    let accounts = &world.stores.accounts;
    let user = world.add("ada", Role::User).await;
    change(&world, user.id, DISABLE).await;
    assert!(accounts.delete(user.id).await.unwrap());
    assert_eq!(accounts.unsettled(10).await.unwrap(), []);
    assert!(accounts.settle(user.id, 2).await.unwrap());
}

/// Two superusers are removed at the same moment through two views of the store, many times over.
async fn one_of_two_stays<F>(world: World, remove: impl Fn(Stores, UserId) -> F)
where
    F: Future<Output = Result<(), AccountError>> + Send + 'static,
{
    let other = world.another().await;
    let mut left = world.add("root", Role::Superuser).await.id;
    for round in 0..40 {
        let fresh = world.add(&format!("root{round}"), Role::Superuser).await.id;
        let first = tokio::spawn(remove(world.stores.clone(), left));
        let second = tokio::spawn(remove(other.clone(), fresh));
        left = match (first.await.unwrap(), second.await.unwrap()) {
            (Ok(()), Err(AccountError::LastSuperuser)) => fresh,
            (Err(AccountError::LastSuperuser), Ok(())) => left,
            both => panic!("round {round}: {both:?}"),
        };
        assert_eq!(current(&world, left).await.role, Role::Superuser);
    }
}

async fn of_two_superusers_who_demote_each_other_one_fails(world: World) {
    one_of_two_stays(world, |stores, id| async move {
        stores.accounts.change(id, to(Role::Admin)).await.map(drop)
    })
    .await;
}

async fn of_two_superusers_who_delete_each_other_one_fails(world: World) {
    one_of_two_stays(world, |stores, id| async move {
        stores.accounts.delete(id).await.map(drop)
    })
    .await;
}

async fn accounts_survive_a_restart(world: World) {
    let user = world.add("ada", Role::Superuser).await;
    world.stores.close().await;
    let reopened = world.another().await;
    assert_eq!(reopened.accounts.list(None, 10).await.unwrap(), [user]);
}
