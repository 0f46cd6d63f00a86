//! The contract of `AuditRepository`.

use skriptoteket::{
    accounts::UserId,
    audit::{AuditEvent, AuditRow},
};
use uuid::Uuid;

use crate::world::{World, seconds};

on_every_store!(
    the_newest_events_come_first,
    an_event_that_is_written_twice_is_there_once,
    what_is_not_known_is_left_open,
    only_old_events_are_removed_and_no_more_than_asked,
    the_trail_survives_a_restart,
);

fn event(world: &World, outcome: &'static str) -> AuditEvent {
    AuditEvent {
        id: Uuid::now_v7(),
        at: world.now(),
        outcome,
        user_id: Some(UserId::generate()),
        address: Some("2001:db8::7".parse().unwrap()),
    }
}

fn row(event: &AuditEvent) -> AuditRow {
    AuditRow {
        at: event.at,
        outcome: event.outcome.to_owned(),
        user_id: event.user_id,
        address: event.address,
    }
}

/// `n` events, a second apart.
async fn some(world: &World, n: usize) -> Vec<AuditEvent> {
    let mut events = Vec::new();
    for _ in 0..n {
        world.advance(seconds(1));
        events.push(event(world, "invalid_credentials"));
    }
    world.stores.audit.append(&events).await.unwrap();
    events
}

async fn the_newest_events_come_first(world: World) {
    let audit = &world.stores.audit;
    assert_eq!(audit.latest(10).await.unwrap(), []);
    let mut expected: Vec<AuditRow> = some(&world, 5).await.iter().map(row).collect();
    // Two of one millisecond: the one that was written later is the newer one.
    for outcome in ["success", "account_locked"] {
        let event = event(&world, outcome);
        audit.append(std::slice::from_ref(&event)).await.unwrap();
        expected.push(row(&event));
    }
    expected.reverse();
    assert_eq!(audit.latest(100).await.unwrap(), expected);
    assert_eq!(audit.latest(3).await.unwrap(), expected[..3]);
    assert_eq!(audit.latest(0).await.unwrap(), []);
}

async fn an_event_that_is_written_twice_is_there_once(world: World) {
    let audit = &world.stores.audit;
    let events = some(&world, 300).await;
    // As the writer does when the first answer was lost: some of the batch is there already.
    audit.append(&events[100..200]).await.unwrap();
    let more = [events[299].clone(), event(&world, "success")];
    audit.append(&more).await.unwrap();
    audit.append(&[]).await.unwrap();
    let rows = audit.latest(1_000).await.unwrap();
    assert_eq!(rows.len(), 301);
    assert_eq!(rows.iter().filter(|it| it.outcome == "success").count(), 1);
}

async fn what_is_not_known_is_left_open(world: World) {
    let unknown = AuditEvent {
        user_id: None,
        address: None,
        ..event(&world, "cancelled")
    };
    let v4 = AuditEvent {
        address: Some("192.0.2.7".parse().unwrap()),
        ..event(&world, "success")
    };
    let audit = &world.stores.audit;
    audit.append(&[unknown.clone(), v4.clone()]).await.unwrap();
    assert_eq!(audit.latest(2).await.unwrap(), [row(&v4), row(&unknown)]);
}

async fn only_old_events_are_removed_and_no_more_than_asked(world: World) {
    let audit = &world.stores.audit;
    let events = some(&world, 10).await;
    let before = events[6].at;
    assert_eq!(audit.prune(before, 4).await.unwrap(), 4);
    let left: Vec<AuditRow> = events[4..].iter().rev().map(row).collect();
    assert_eq!(audit.latest(100).await.unwrap(), left);
    assert_eq!(audit.prune(before, 4).await.unwrap(), 2);
    assert_eq!(audit.prune(before, 4).await.unwrap(), 0);
    assert_eq!(audit.latest(100).await.unwrap().len(), 4);
}

async fn the_trail_survives_a_restart(world: World) {
    let events = some(&world, 2).await;
    world.stores.close().await;
    let reopened = world.another().await;
    let expected = [row(&events[1]), row(&events[0])];
    assert_eq!(reopened.audit.latest(10).await.unwrap(), expected);
}
