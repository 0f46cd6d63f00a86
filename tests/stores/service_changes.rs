//! The contract of `ServiceRepository`: what changes, and what is counted of it.

use skriptoteket::services::{LimitPolicy, Revision, Scope, Service, ServiceChange, Totals};

use crate::{
    services::{read, register, revision, totals},
    world::{World, new_service, seconds, service_id},
};

on_the_embedded_store!(
    each_change_changes_what_it_names_and_nothing_else,
    a_change_that_changes_nothing_leaves_the_revision,
    the_revision_rises_with_every_change_and_with_nothing_else,
    totals_count_what_happened,
);

/// Makes a change to what is expected.
type Apply = fn(&mut Service, ServiceChange);

async fn each_change_changes_what_it_names_and_nothing_else(world: World) {
    register(&world, "stock").await;
    let untouched = read(&world, "stock").await;
    let mut expected = register(&world, "orders").await;
    let nothing = ServiceChange::default;
    let scopes: Vec<Scope> = vec!["all".parse().unwrap()];
    let limits = LimitPolicy {
        interval: seconds(86_400),
        burst: u32::MAX,
        daily_quota: None,
    };
    let keys = Some(r#"{"keys":[{}]}"#.into());
    let of_quota = LimitPolicy {
        daily_quota: Some(0),
        ..limits
    };
    let changes: [(ServiceChange, Apply); 7] = [
        (
            ServiceChange {
                description: Some("é '; --".into()),
                ..nothing()
            },
            |it, change| it.description = change.description.unwrap(),
        ),
        (
            ServiceChange {
                disabled: Some(true),
                ..nothing()
            },
            |it, _| it.disabled = true,
        ),
        (
            ServiceChange {
                scopes: Some(scopes),
                ..nothing()
            },
            |it, change| it.scopes = change.scopes.unwrap(),
        ),
        (
            ServiceChange {
                limits: Some(limits),
                ..nothing()
            },
            |it, change| it.limits = change.limits.unwrap(),
        ),
        (
            ServiceChange {
                limits: Some(of_quota),
                ..nothing()
            },
            |it, change| it.limits = change.limits.unwrap(),
        ),
        (
            ServiceChange {
                public_keys: Some(keys),
                ..nothing()
            },
            |it, change| it.public_keys = change.public_keys.unwrap(),
        ),
        (
            ServiceChange {
                public_keys: Some(None),
                ..nothing()
            },
            |it, _| it.public_keys = None,
        ),
    ];
    let id = service_id("orders");
    for (change, apply) in changes {
        world.advance(seconds(1));
        let before = revision(&world).await;
        apply(&mut expected, change.clone());
        let after = world.stores.services.change(&id, change).await.unwrap();
        assert_eq!(after.as_ref(), Some(&expected));
        assert_eq!(read(&world, "orders").await, expected);
        assert!(revision(&world).await > before);
    }
    assert_eq!(read(&world, "stock").await, untouched);
}

async fn a_change_that_changes_nothing_leaves_the_revision(world: World) {
    let service = register(&world, "orders").await;
    let before = revision(&world).await;
    let same = ServiceChange {
        description: Some(service.description.clone()),
        disabled: Some(false),
        scopes: Some(service.scopes.clone()),
        limits: Some(service.limits),
        public_keys: Some(service.public_keys.clone()),
    };
    for change in [same, ServiceChange::default()] {
        let changed = world.stores.services.change(&service.id, change).await;
        assert_eq!(changed.unwrap().as_ref(), Some(&service));
    }
    assert_eq!(revision(&world).await, before);
}

/// Fails unless the revision rose since it was `last`; then it is the last one.
async fn rose(world: &World, last: &mut Revision) {
    let now = revision(world).await;
    assert!(now > *last);
    *last = now;
}

async fn the_revision_rises_with_every_change_and_with_nothing_else(world: World) {
    let services = &world.stores.services;
    let mut last = revision(&world).await;
    let id = register(&world, "orders").await.id;
    rose(&world, &mut last).await;
    let secret = || new_service("orders").secret;
    let rotated = services.rotate(&id, secret(), None, seconds(9), false);
    rotated.await.unwrap();
    rose(&world, &mut last).await;
    let refused = services.rotate(&id, secret(), None, seconds(9), false);
    refused.await.unwrap();
    assert_eq!(revision(&world).await, last);
    let forced = services.rotate(&id, secret(), None, seconds(9), true);
    forced.await.unwrap();
    rose(&world, &mut last).await;
    services.all().await.unwrap();
    services.find(&id).await.unwrap();
    let limits = new_service("orders").limits;
    world.stores.quotas.charge(&id, &limits).await.unwrap();
    assert_eq!(revision(&world).await, last);
    services.delete(&id).await.unwrap();
    rose(&world, &mut last).await;
    services.delete(&id).await.unwrap();
    assert_eq!(revision(&world).await, last);
    // Others see it too.
    let other = world.another().await;
    assert_eq!(other.services.revision().await.unwrap(), last);
}

async fn totals_count_what_happened(world: World) {
    assert_eq!(totals(&world).await, Totals::default());
    let services = &world.stores.services;
    for id in ["a", "b", "c"] {
        register(&world, id).await;
    }
    for id in ["a", "b"] {
        services.delete(&service_id(id)).await.unwrap();
    }
    for force in [false, false, false, true] {
        let secret = new_service("c").secret;
        let id = service_id("c");
        let rotated = services.rotate(&id, secret, None, seconds(9), force);
        rotated.await.unwrap();
    }
    let expected = Totals {
        registered: 3,
        deleted: 2,
        rotated: 2,
        rotations_refused: 2,
    };
    assert_eq!(totals(&world).await, expected);
}
