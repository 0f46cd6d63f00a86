//! The contract of `ServiceRepository`: rotation of client secrets.

use std::time::Duration;

use skriptoteket::{
    clock::Timestamp,
    services::{ClientSecret, Credential, Rotation, SecretDigest, Service},
};
use tokio::task::JoinSet;

use crate::stores::{
    dropped::{give_up_after, settled},
    services::{ENOUGH, read, register, revision, totals},
    world::{World, new_service, seconds, service_id},
};

on_the_embedded_store!(
    a_rotation_retires_the_credential_before_for_the_overlap,
    a_retired_credential_expires_when_it_would_have_done_so_anyway,
    a_second_rotation_during_the_overlap_is_refused_and_counted,
    force_ends_a_retired_credential_before_its_time,
    after_the_overlap_a_rotation_removes_what_has_expired,
    a_newest_credential_that_has_expired_is_no_overlap,
    without_an_overlap_the_credential_before_has_expired_at_once,
    of_two_rotations_at_once_one_is_refused,
    no_reader_meets_a_service_within_a_rotation,
    a_rotation_given_up_was_made_and_counted_or_neither,
);

const OVERLAP: Duration = seconds(100);

fn secret() -> SecretDigest {
    ClientSecret::generate().digest()
}

async fn rotate(
    world: &World,
    secret: SecretDigest,
    expires_at: Option<Timestamp>,
    force: bool,
) -> Rotation {
    let (services, id) = (&world.stores.services, service_id("orders"));
    let rotated = services
        .rotate(&id, secret, expires_at, OVERLAP, force)
        .await;
    rotated.unwrap().unwrap()
}

/// Rotates the secret and returns the service, which is the one that other readers see.
async fn rotated(world: &World, secret: SecretDigest, force: bool) -> Service {
    match rotate(world, secret, None, force).await {
        Rotation::Rotated(service) => {
            assert_eq!(read(world, "orders").await, service);
            service
        }
        Rotation::StillOverlapping { until } => panic!("still overlapping until {until:?}"),
    }
}

async fn a_rotation_retires_the_credential_before_for_the_overlap(world: World) {
    let before = register(&world, "orders").await;
    let untouched = register(&world, "stock").await;
    world.advance(seconds(7));
    let (new, expires_at) = (secret(), Some(world.now().plus(seconds(9))));
    let rotation = rotate(&world, new, expires_at, false).await;
    let Rotation::Rotated(after) = rotation else {
        panic!("the secret was not rotated")
    };
    assert_eq!(read(&world, "orders").await, after);
    let [newest, retired] = &after.credentials[..] else {
        panic!("expected two credentials")
    };
    assert!(newest.digest.matches(&new));
    assert_eq!(
        (newest.created_at, newest.expires_at),
        (world.now(), expires_at)
    );
    assert_eq!(newest.retired_at, None);
    let expected = Credential {
        retired_at: Some(world.now()),
        expires_at: Some(world.now().plus(OVERLAP)),
        ..before.credentials[0].clone()
    };
    assert_eq!(retired, &expected);
    assert_ne!(newest.id, retired.id);
    let but_for_credentials = Service {
        credentials: before.credentials.clone(),
        ..after
    };
    assert_eq!(but_for_credentials, before);
    assert_eq!(read(&world, "stock").await, untouched);
}

async fn a_retired_credential_expires_when_it_would_have_done_so_anyway(world: World) {
    let mut new = new_service("orders");
    let soon = world.now().plus(seconds(3));
    new.secret_expires_at = Some(soon);
    world.stores.services.register(new, 9).await.unwrap();
    world.advance(seconds(1));
    let service = rotated(&world, secret(), false).await;
    assert_eq!(service.credentials[1].expires_at, Some(soon));
    assert_eq!(service.credentials[1].retired_at, Some(world.now()));
}

async fn a_second_rotation_during_the_overlap_is_refused_and_counted(world: World) {
    register(&world, "orders").await;
    let service = rotated(&world, secret(), false).await;
    let until = world.now().plus(OVERLAP);
    let before = revision(&world).await;
    for refused in 1..=2 {
        world.advance(Duration::from_millis(49_999));
        let refusal = rotate(&world, secret(), None, false).await;
        assert_eq!(refusal, Rotation::StillOverlapping { until });
        assert_eq!(read(&world, "orders").await, service);
        let totals = totals(&world).await;
        assert_eq!((totals.rotated, totals.rotations_refused), (1, refused));
    }
    assert_eq!(revision(&world).await, before);
    // The credential no longer blocks the rotation from the millisecond in which it expires.
    world.advance(Duration::from_millis(2));
    rotated(&world, secret(), false).await;
}

async fn force_ends_a_retired_credential_before_its_time(world: World) {
    let first = register(&world, "orders").await.credentials[0].id;
    let second = rotated(&world, secret(), false).await.credentials[0].id;
    world.advance(seconds(1));
    let service = rotated(&world, secret(), true).await;
    let ids: Vec<_> = service.credentials.iter().map(|it| it.id).collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[1], second);
    assert!(!ids.contains(&first));
    let end = world.now().plus(OVERLAP);
    assert_eq!(service.credentials[1].expires_at, Some(end));
    let totals = totals(&world).await;
    assert_eq!((totals.rotated, totals.rotations_refused), (2, 0));
}

async fn after_the_overlap_a_rotation_removes_what_has_expired(world: World) {
    let first = register(&world, "orders").await.credentials[0].id;
    let service = rotated(&world, secret(), false).await;
    let second = service.credentials[0].id;
    world.advance(OVERLAP);
    // It stays until then, so that its use is counted with its own reason.
    assert_eq!(read(&world, "orders").await.credentials[1].id, first);
    let service = rotated(&world, secret(), false).await;
    assert_eq!(service.credentials.len(), 2);
    assert_eq!(service.credentials[1].id, second);
}

async fn a_newest_credential_that_has_expired_is_no_overlap(world: World) {
    let mut new = new_service("orders");
    let expired = world.now().plus(seconds(3));
    new.secret_expires_at = Some(expired);
    world.stores.services.register(new, 9).await.unwrap();
    world.advance(seconds(60));
    let service = rotated(&world, secret(), false).await;
    assert_eq!(service.credentials[1].expires_at, Some(expired));
    rotated(&world, secret(), false).await;
}

async fn without_an_overlap_the_credential_before_has_expired_at_once(world: World) {
    let id = register(&world, "orders").await.id;
    for _ in 0..3 {
        let rotation = world
            .stores
            .services
            .rotate(&id, secret(), None, Duration::ZERO, false);
        let Some(Rotation::Rotated(service)) = rotation.await.unwrap() else {
            panic!("the secret was not rotated")
        };
        assert!(service.credentials[1].is_expired(world.now()));
    }
}

async fn of_two_rotations_at_once_one_is_refused(world: World) {
    register(&world, "orders").await;
    let other = world.another().await;
    let mut rotations = JoinSet::new();
    for n in 0..20 {
        let stores = if n % 2 == 0 { &world.stores } else { &other };
        let services = stores.services.clone();
        rotations.spawn(async move {
            let id = service_id("orders");
            let rotation = services.rotate(&id, secret(), None, OVERLAP, false).await;
            matches!(rotation.unwrap(), Some(Rotation::Rotated(_)))
        });
    }
    let made = rotations.join_all().await;
    assert_eq!(made.iter().filter(|it| **it).count(), 1);
    let totals = totals(&world).await;
    assert_eq!((totals.rotated, totals.rotations_refused), (1, 19));
}

async fn no_reader_meets_a_service_within_a_rotation(world: World) {
    register(&world, "orders").await;
    let other = world.another().await;
    let writer = tokio::spawn(async move {
        for _ in 0..150 {
            let id = service_id("orders");
            let rotated = other.services.rotate(&id, secret(), None, OVERLAP, true);
            rotated.await.unwrap();
        }
    });
    let mut last = None;
    while !writer.is_finished() {
        let all = world.stores.services.all().await.unwrap();
        let found = world.stores.services.find(&service_id("orders")).await;
        let found = found.unwrap().unwrap();
        for service in [&all.services[0], &found] {
            let retired = service.credentials.iter().map(|it| it.retired_at.is_some());
            let retired: Vec<bool> = retired.collect();
            assert!([&[false][..], &[false, true]].contains(&&retired[..]));
        }
        // Totals and rows are read at the same moment: each rotation has its own newest credential.
        let now = (all.totals.rotated, all.services[0].credentials[0].id);
        if let Some((count, id)) = last {
            assert_eq!(now.0 == count, now.1 == id);
        }
        last = Some(now);
    }
    writer.await.unwrap();
}

async fn a_rotation_given_up_was_made_and_counted_or_neither(world: World) {
    register(&world, "orders").await;
    let services = &world.stores.services;
    let (mut given_up, mut made) = (0, 0);
    for polls in (0..ENOUGH).cycle().take(10 * ENOUGH) {
        let before = services.all().await.unwrap();
        let id = service_id("orders");
        let rotation = services.rotate(&id, secret(), None, OVERLAP, true);
        let finished = give_up_after(polls, rotation).await.is_some();
        settled(&world).await;
        let after = services.all().await.unwrap();
        let newest = |all: &skriptoteket::services::Register| all.services[0].credentials[0].id;
        let was_made = newest(&after) != newest(&before);
        assert!(was_made || !finished);
        assert_eq!(
            after.totals.rotated - before.totals.rotated,
            u64::from(was_made)
        );
        assert_eq!(after.revision > before.revision, was_made);
        assert!(after.services == before.services || was_made);
        given_up += usize::from(!finished);
        made += usize::from(was_made);
    }
    assert!(given_up > 3 && made > 3, "{given_up} given up, {made} made");
}
