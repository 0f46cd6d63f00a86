//! The contract of `ServiceRepository`: changes, and their effect on the counts.

use skriptoteket::services::{LimitChange, Revision, Scope, Service, ServiceChange, Totals};

use crate::stores::{
    services::{read, register, revision, totals},
    world::{World, new_service, registration, seconds, service_id},
};

on_the_embedded_store!(
    each_change_changes_what_it_names_and_nothing_else,
    a_change_that_changes_nothing_leaves_the_revision,
    changes_of_limits_at_once_are_all_made,
    limits_that_no_service_can_have_change_nothing,
    the_revision_rises_with_every_change_and_with_nothing_else,
    totals_count_what_happened,
);

/// Applies a change to the expected service.
type Apply = fn(&mut Service, ServiceChange);

async fn each_change_changes_what_it_names_and_nothing_else(world: World) {
    register(&world, "stock").await;
    let untouched = read(&world, "stock").await;
    let mut expected = register(&world, "orders").await;
    let nothing = ServiceChange::default;
    let scopes: Vec<Scope> = vec!["all".parse().unwrap()];
    let every = LimitChange {
        interval: Some(seconds(86_400)),
        burst: Some(3_650),
        daily_quota: Some(None),
    };
    let keys = Some(r#"{"keys":[{}]}"#.into());
    let none = LimitChange::default();
    let of_quota = LimitChange {
        daily_quota: Some(Some(9)),
        ..none
    };
    let of_burst = LimitChange {
        burst: Some(7),
        ..none
    };
    let changes: [(ServiceChange, Apply); 8] = [
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
                limits: every,
                ..nothing()
            },
            |it, change| {
                it.limits.interval = change.limits.interval.unwrap();
                it.limits.burst = change.limits.burst.unwrap();
                it.limits.daily_quota = None;
            },
        ),
        (
            ServiceChange {
                limits: of_quota,
                ..nothing()
            },
            |it, _| it.limits.daily_quota = Some(9),
        ),
        (
            ServiceChange {
                limits: of_burst,
                ..nothing()
            },
            |it, _| it.limits.burst = 7,
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
        limits: LimitChange {
            interval: Some(service.limits.interval),
            burst: Some(service.limits.burst),
            daily_quota: Some(service.limits.daily_quota),
        },
        public_keys: Some(service.public_keys.clone()),
    };
    for change in [same, ServiceChange::default()] {
        let changed = world.stores.services.change(&service.id, change).await;
        assert_eq!(changed.unwrap().as_ref(), Some(&service));
    }
    assert_eq!(revision(&world).await, before);
}

async fn changes_of_limits_at_once_are_all_made(world: World) {
    let id = register(&world, "orders").await.id;
    let other = world.another().await;
    for n in 1..=20 {
        let change = |limits| ServiceChange {
            limits,
            ..ServiceChange::default()
        };
        let rate = change(LimitChange {
            interval: Some(seconds(n.into())),
            ..LimitChange::default()
        });
        let burst = change(LimitChange {
            burst: Some(n),
            ..LimitChange::default()
        });
        let (one, two) = tokio::join!(
            world.stores.services.change(&id, rate),
            other.services.change(&id, burst),
        );
        assert!(one.unwrap().is_some() && two.unwrap().is_some());
        let limits = read(&world, "orders").await.limits;
        assert_eq!((limits.interval, limits.burst), (seconds(n.into()), n));
    }
}

async fn limits_that_no_service_can_have_change_nothing(world: World) {
    let mut new = new_service("orders");
    new.limits.burst = 3_651;
    let service = world.stores.services.register(new, 9).await.unwrap();
    let before = revision(&world).await;
    let change = ServiceChange {
        description: Some("slow".into()),
        limits: LimitChange {
            interval: Some(seconds(86_400)),
            ..LimitChange::default()
        },
        ..ServiceChange::default()
    };
    let changed = world.stores.services.change(&service.id, change).await;
    assert_eq!(changed.unwrap().as_ref(), Some(&service));
    assert_eq!(revision(&world).await, before);
}

/// Fails unless the revision has risen since `last`, and sets `last` to it.
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
    let used = world.stores.quotas.charge(registration("orders"), &limits);
    used.await.unwrap();
    assert_eq!(revision(&world).await, last);
    services.delete(&id).await.unwrap();
    rose(&world, &mut last).await;
    services.delete(&id).await.unwrap();
    assert_eq!(revision(&world).await, last);
    // The change is visible to other processes, too.
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
