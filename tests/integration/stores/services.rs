//! The contract of `ServiceRepository`. Changes and rotations are tested in their own files.

use std::collections::BTreeSet;

use skriptoteket::{
    error::StoreError,
    services::{RegisterError, Revision, Service, ServiceChange, SignOfLife, Totals},
};
use skriptoteket_testing::stores::raw;
use sqlx::Row;
use tokio::task::JoinSet;

use crate::stores::{
    dropped::{give_up_after, settled},
    world::{World, new_service, seconds, service_id},
};

on_the_embedded_store!(
    a_service_is_found_as_it_was_registered,
    what_a_service_does_not_have_is_left_out,
    an_id_that_is_taken_is_not_registered_again,
    no_more_than_the_most_are_registered,
    many_who_register_at_once_do_not_pass_the_most,
    services_are_listed_in_the_order_of_their_ids,
    nothing_of_a_service_is_left_when_it_was_deleted,
    an_id_that_is_registered_anew_is_another_registration,
    a_sign_of_life_is_noted_and_leaves_the_revision,
    an_unknown_service_is_not_found_changed_deleted_or_seen,
    a_registration_given_up_was_made_whole_or_not_at_all,
    the_register_survives_a_restart,
    a_register_that_is_closed_is_unavailable,
);

/// About the number of polls that an operation needs.
pub(crate) const ENOUGH: usize = 12;

pub(crate) async fn register(world: &World, id: &str) -> Service {
    let registered = world.stores.services.register(new_service(id), 100).await;
    registered.unwrap()
}

pub(crate) async fn revision(world: &World) -> Revision {
    world.stores.services.revision().await.unwrap()
}

pub(crate) async fn totals(world: &World) -> Totals {
    world.stores.services.all().await.unwrap().totals
}

/// Returns the service, which must be the same through all ways of reading it.
pub(crate) async fn read(world: &World, id: &str) -> Service {
    let services = &world.stores.services;
    let found = services.find(&service_id(id)).await.unwrap().unwrap();
    let all = services.all().await.unwrap().services;
    assert_eq!(all.iter().find(|it| it.id == found.id), Some(&found));
    found
}

async fn a_service_is_found_as_it_was_registered(world: World) {
    let mut new = new_service("orders");
    new.secret_expires_at = Some(world.now().plus(seconds(7)));
    let registered = world
        .stores
        .services
        .register(new.clone(), 1)
        .await
        .unwrap();
    assert_eq!(read(&world, "orders").await, registered);
    assert_eq!(registered.id, new.id);
    assert_eq!(registered.description, new.description);
    assert_eq!(registered.created_at, world.now());
    assert_eq!(registered.scopes, new.scopes);
    assert_eq!(registered.limits, new.limits);
    assert_eq!(registered.public_keys, new.public_keys);
    assert!(!registered.disabled);
    let signs = (registered.last_heartbeat, registered.last_authentication);
    assert_eq!(signs, (None, None));
    let [credential] = &registered.credentials[..] else {
        panic!("expected one credential")
    };
    assert!(credential.digest.matches(&new.secret));
    assert_eq!(credential.created_at, world.now());
    assert_eq!(credential.expires_at, new.secret_expires_at);
    assert_eq!(credential.retired_at, None);
}

async fn what_a_service_does_not_have_is_left_out(world: World) {
    let mut new = new_service("orders");
    new.description = String::new();
    new.scopes = Vec::new();
    new.limits.daily_quota = None;
    new.public_keys = None;
    let registered = world.stores.services.register(new, 1).await.unwrap();
    assert_eq!(read(&world, "orders").await, registered);
    assert_eq!(registered.scopes, []);
    assert_eq!(registered.limits.daily_quota, None);
    assert_eq!(registered.public_keys, None);
    assert_eq!(registered.credentials[0].expires_at, None);
}

async fn an_id_that_is_taken_is_not_registered_again(world: World) {
    let first = register(&world, "orders").await;
    let before = revision(&world).await;
    // Also when the maximum number of services is reached: the duplicate ID is the more specific error.
    for most in [100, 1] {
        let taken = world.stores.services.register(new_service("orders"), most);
        assert!(matches!(taken.await, Err(RegisterError::AlreadyExists)));
    }
    assert_eq!(read(&world, "orders").await, first);
    assert_eq!(revision(&world).await, before);
    assert_eq!(totals(&world).await.registered, 1);
}

async fn no_more_than_the_most_are_registered(world: World) {
    let services = &world.stores.services;
    for id in ["a", "b"] {
        services.register(new_service(id), 2).await.unwrap();
    }
    for most in [0, 1, 2] {
        let full = services.register(new_service("c"), most).await;
        assert!(matches!(full, Err(RegisterError::Full(n)) if n == most));
    }
    services.delete(&service_id("a")).await.unwrap();
    services.register(new_service("c"), 2).await.unwrap();
}

async fn many_who_register_at_once_do_not_pass_the_most(world: World) {
    let other = world.another().await;
    let mut registrations = JoinSet::new();
    for n in 0..40 {
        let stores = if n % 2 == 0 { &world.stores } else { &other };
        let services = stores.services.clone();
        // Each ID is requested twice.
        let new = new_service(&format!("s{}", n / 2));
        registrations.spawn(async move { services.register(new, 7).await.is_ok() });
    }
    let made = registrations.join_all().await;
    assert_eq!(made.iter().filter(|it| **it).count(), 7);
    let register = other.services.all().await.unwrap();
    assert_eq!(
        (register.services.len(), register.totals.registered),
        (7, 7)
    );
}

async fn services_are_listed_in_the_order_of_their_ids(world: World) {
    assert!(
        world
            .stores
            .services
            .all()
            .await
            .unwrap()
            .services
            .is_empty()
    );
    for id in ["b", "a-z", "a.z", "c", "a", "a0"] {
        register(&world, id).await;
        world.advance(seconds(1));
    }
    let register = world.stores.services.all().await.unwrap();
    let ids: Vec<&str> = register.services.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, ["a", "a-z", "a.z", "a0", "b", "c"]);
    assert_eq!(register.revision, revision(&world).await);
    assert!(register.services.iter().all(|it| it.credentials.len() == 1));
}

async fn nothing_of_a_service_is_left_when_it_was_deleted(world: World) {
    let (services, quotas) = (&world.stores.services, &world.stores.quotas);
    let deleted = register(&world, "orders").await;
    let kept = register(&world, "stock").await;
    for service in [&deleted, &kept] {
        quotas
            .charge(service.registration, &service.limits)
            .await
            .unwrap();
    }
    assert!(services.delete(&deleted.id).await.unwrap());
    assert!(!services.delete(&deleted.id).await.unwrap());
    assert_eq!(services.find(&deleted.id).await.unwrap(), None);
    assert_eq!(
        services.all().await.unwrap().services,
        std::slice::from_ref(&kept)
    );
    let mut file = raw(&world.file()).await;
    let registration = kept.registration.to_string();
    for (table, column, owner) in [
        ("service_credentials", "service", "stock"),
        ("quotas", "registration", registration.as_str()),
    ] {
        let owners = sqlx::AssertSqlSafe(format!("SELECT {column} FROM {table}"));
        let owners = sqlx::query(owners).fetch_all(&mut file).await.unwrap();
        let owners: Vec<String> = owners.iter().map(|row| row.get(0)).collect();
        assert_eq!(owners, [owner], "{table}");
    }
}

async fn an_id_that_is_registered_anew_is_another_registration(world: World) {
    let services = &world.stores.services;
    let mut registrations = BTreeSet::new();
    for _ in 0..3 {
        let service = register(&world, "orders").await;
        assert_eq!(service.credentials.len(), 1);
        assert!(registrations.insert(service.registration));
        let seen = services.seen(&service.id, SignOfLife::Heartbeat).await;
        assert!(seen.unwrap());
        services.delete(&service.id).await.unwrap();
    }
}

async fn a_sign_of_life_is_noted_and_leaves_the_revision(world: World) {
    let mut expected = register(&world, "orders").await;
    let untouched = register(&world, "stock").await;
    let before = revision(&world).await;
    let services = &world.stores.services;
    for _ in 0..2 {
        world.advance(seconds(1));
        expected.last_heartbeat = Some(world.now());
        assert!(
            services
                .seen(&expected.id, SignOfLife::Heartbeat)
                .await
                .unwrap()
        );
        assert_eq!(read(&world, "orders").await, expected);
        world.advance(seconds(1));
        expected.last_authentication = Some(world.now());
        let seen = services.seen(&expected.id, SignOfLife::Authentication);
        assert!(seen.await.unwrap());
        assert_eq!(read(&world, "orders").await, expected);
    }
    assert_eq!(revision(&world).await, before);
    assert_eq!(read(&world, "stock").await, untouched);
}

async fn an_unknown_service_is_not_found_changed_deleted_or_seen(world: World) {
    register(&world, "orders").await;
    let before = (revision(&world).await, totals(&world).await);
    let (services, nobody) = (&world.stores.services, service_id("nobody"));
    assert_eq!(services.find(&nobody).await.unwrap(), None);
    let disable = ServiceChange {
        disabled: Some(true),
        ..ServiceChange::default()
    };
    assert_eq!(services.change(&nobody, disable).await.unwrap(), None);
    assert!(!services.delete(&nobody).await.unwrap());
    for sign in [SignOfLife::Heartbeat, SignOfLife::Authentication] {
        assert!(!services.seen(&nobody, sign).await.unwrap());
    }
    let secret = new_service("nobody").secret;
    for force in [false, true] {
        let rotated = services.rotate(&nobody, secret, None, seconds(1), force);
        assert_eq!(rotated.await.unwrap(), None);
    }
    assert_eq!((revision(&world).await, totals(&world).await), before);
}

async fn a_registration_given_up_was_made_whole_or_not_at_all(world: World) {
    let services = &world.stores.services;
    let (mut given_up, mut made) = (0, 0);
    for (n, polls) in (0..ENOUGH).cycle().take(10 * ENOUGH).enumerate() {
        let before = services.all().await.unwrap();
        let new = new_service(&format!("s{n}"));
        let id = new.id.clone();
        let finished = give_up_after(polls, services.register(new, 1_000))
            .await
            .is_some();
        settled(&world).await;
        let after = services.all().await.unwrap();
        let found = services.find(&id).await.unwrap();
        let is_there = found.is_some();
        assert!(is_there || !finished);
        assert!(found.is_none_or(|it| it.credentials.len() == 1));
        assert_eq!(
            after.services.len() - before.services.len(),
            usize::from(is_there)
        );
        assert_eq!(
            after.totals.registered - before.totals.registered,
            u64::from(is_there)
        );
        assert_eq!(after.revision > before.revision, is_there);
        given_up += usize::from(!finished);
        made += usize::from(is_there);
    }
    assert!(given_up > 3 && made > 3, "{given_up} given up, {made} made");
}

async fn the_register_survives_a_restart(world: World) {
    let service = register(&world, "orders").await;
    let before = world.stores.services.all().await.unwrap();
    world.stores.close().await;
    let reopened = world.another().await;
    let after = reopened.services.all().await.unwrap();
    assert_eq!(after.services, [service]);
    assert_eq!(
        (after.revision, after.totals),
        (before.revision, before.totals)
    );
}

async fn a_register_that_is_closed_is_unavailable(world: World) {
    let service = register(&world, "orders").await;
    let (services, id) = (&world.stores.services, service.id);
    world.stores.close().await;
    let refused = services.register(new_service("stock"), 9).await;
    assert!(matches!(
        refused,
        Err(RegisterError::Store(StoreError::Unavailable(_)))
    ));
    let secret = new_service("orders").secret;
    let errors = [
        services.find(&id).await.err(),
        services.all().await.err(),
        services.revision().await.err(),
        services.change(&id, ServiceChange::default()).await.err(),
        services.delete(&id).await.err(),
        services
            .rotate(&id, secret, None, seconds(1), false)
            .await
            .err(),
        services.seen(&id, SignOfLife::Heartbeat).await.err(),
    ];
    for error in errors {
        assert!(matches!(error, Some(StoreError::Unavailable(_))));
    }
}
