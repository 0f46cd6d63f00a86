//! The contract of `AuditRepository`.

use skriptoteket::{
    accounts::UserId,
    audit::{Actor, AuditCursor, AuditEvent, AuditFilter, AuditRow, Kind, PENDING, SUCCESS},
};

use crate::stores::world::{World, seconds};

on_every_store!(
    the_newest_events_come_first,
    an_event_that_is_written_twice_is_there_once,
    an_action_whose_announcement_was_late_takes_its_outcome_and_hides_no_other,
    what_is_not_known_is_left_open,
    an_announced_action_takes_its_outcome_once,
    rows_are_found_by_every_condition,
    pages_show_each_row_once,
    only_old_events_are_removed_and_no_more_than_asked,
    the_trail_survives_a_restart,
);

pub(crate) fn event(world: &World, outcome: &'static str) -> AuditEvent {
    AuditEvent {
        user_id: Some(UserId::generate()),
        address: Some("2001:db8::7".parse().unwrap()),
        ..AuditEvent::new(Kind::Login, world.now(), outcome)
    }
}

/// Returns the row of an event, without its position in the trail.
pub(crate) fn row(event: &AuditEvent) -> AuditRow {
    AuditRow {
        seq: 0,
        at: event.at,
        last_at: event.at,
        count: 1,
        kind: event.kind.as_str().to_owned(),
        outcome: event.outcome.to_owned(),
        actor: event.actor.map(|actor| actor.to_string()),
        user_id: event.user_id,
        target: event.target.clone(),
        detail: event.detail.clone(),
        address: event.address,
    }
}

async fn found(world: &World, filter: AuditFilter, limit: u32) -> Vec<AuditRow> {
    let rows = world.stores.audit.search(&filter, limit).await.unwrap();
    rows.into_iter()
        .map(|row| AuditRow { seq: 0, ..row })
        .collect()
}

pub(crate) async fn latest(world: &World, limit: u32) -> Vec<AuditRow> {
    found(world, AuditFilter::default(), limit).await
}

/// Returns `n` events, one second apart.
async fn some(world: &World, n: usize) -> Vec<AuditEvent> {
    let mut events = Vec::new();
    for _ in 0..n {
        world.advance(seconds(1));
        events.push(event(world, SUCCESS));
    }
    world.stores.audit.append(&events).await.unwrap();
    events
}

async fn the_newest_events_come_first(world: World) {
    let audit = &world.stores.audit;
    assert_eq!(latest(&world, 10).await, []);
    let mut expected: Vec<AuditRow> = some(&world, 5).await.iter().map(row).collect();
    // Two rows with the same millisecond: the one written later is the newer one.
    for outcome in ["success", "account_locked"] {
        let event = event(&world, outcome);
        audit.append(std::slice::from_ref(&event)).await.unwrap();
        expected.push(row(&event));
    }
    expected.reverse();
    assert_eq!(latest(&world, 100).await, expected);
    assert_eq!(latest(&world, 3).await, expected[..3]);
    assert_eq!(latest(&world, 0).await, []);
}

async fn an_event_that_is_written_twice_is_there_once(world: World) {
    let audit = &world.stores.audit;
    let events = some(&world, 300).await;
    audit.append(&events[100..200]).await.unwrap();
    let more = [events[299].clone(), event(&world, "account_disabled")];
    audit.append(&more).await.unwrap();
    audit.append(&[]).await.unwrap();
    let rows = latest(&world, 1_000).await;
    assert_eq!(rows.len(), 301);
    assert_eq!(
        rows.iter().filter(|it| it.outcome == "success").count(),
        300
    );
}

async fn an_action_whose_announcement_was_late_takes_its_outcome_and_hides_no_other(world: World) {
    let audit = &world.stores.audit;
    let refused = || AuditEvent {
        address: Some("192.0.2.1".parse().unwrap()),
        ..AuditEvent::new(Kind::SessionRevoke, world.now(), "store_unavailable")
    };
    // The row was committed, but its writer got an error that the store is unavailable.
    let late = refused();
    let announced = AuditEvent {
        outcome: PENDING,
        announced: true,
        ..late.clone()
    };
    audit.announce(&announced).await.unwrap();
    // In this case the change was committed together with its row, but the reply was lost.
    let done = refused();
    let succeeded = AuditEvent {
        outcome: SUCCESS,
        ..done.clone()
    };
    let add = std::slice::from_ref(&succeeded);
    audit.append(add).await.unwrap();
    audit
        .append(&[late, done, refused(), refused()])
        .await
        .unwrap();
    let mut told: Vec<_> = latest(&world, 10)
        .await
        .into_iter()
        .map(|row| (row.outcome, row.count))
        .collect();
    told.sort();
    assert_eq!(
        told,
        [
            ("store_unavailable".into(), 1),
            ("store_unavailable".into(), 2),
            ("success".into(), 1),
        ]
    );
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
    audit.append(std::slice::from_ref(&unknown)).await.unwrap();
    audit.append(std::slice::from_ref(&v4)).await.unwrap();
    assert_eq!(latest(&world, 2).await, [row(&v4), row(&unknown)]);
}

async fn an_announced_action_takes_its_outcome_once(world: World) {
    let audit = &world.stores.audit;
    let announced = AuditEvent {
        announced: true,
        ..AuditEvent::new(Kind::SessionRevoke, world.now(), PENDING)
    };
    audit.announce(&announced).await.unwrap();
    assert_eq!(latest(&world, 10).await, [row(&announced)]);
    world.advance(seconds(2));
    let ended = AuditEvent {
        at: world.now(),
        outcome: "store_unavailable",
        ..announced.clone()
    };
    audit.append(std::slice::from_ref(&ended)).await.unwrap();
    let contradiction = AuditEvent {
        outcome: SUCCESS,
        ..ended.clone()
    };
    audit.append(&[contradiction]).await.unwrap();
    let expected = AuditRow {
        last_at: ended.at,
        outcome: "store_unavailable".into(),
        ..row(&announced)
    };
    assert_eq!(latest(&world, 10).await, [expected]);
}

/// Returns a rejected login, a change on the command line, and a rejected action of a user.
async fn three_kinds(world: &World, ada: UserId, operator: Actor) -> [AuditEvent; 3] {
    let login = AuditEvent {
        user_id: Some(ada),
        address: Some("192.0.2.1".parse().unwrap()),
        ..AuditEvent::new(Kind::Login, world.now(), "account_locked")
    };
    world.advance(seconds(600));
    let change = AuditEvent {
        user_id: Some(ada),
        actor: Some(operator),
        detail: Some("role: user to admin".into()),
        ..AuditEvent::new(Kind::UserChange, world.now(), SUCCESS)
    };
    let rotation = AuditEvent {
        actor: Some(Actor::User(ada)),
        target: Some("service:orders".into()),
        ..AuditEvent::new(Kind::ServiceRotate, world.now(), "forbidden")
    };
    let events = [login, change, rotation];
    for event in &events {
        let audit = &world.stores.audit;
        audit.append(std::slice::from_ref(event)).await.unwrap();
    }
    events
}

async fn rows_are_found_by_every_condition(world: World) {
    let ada = UserId::generate();
    let operator = Actor::CommandLine { uid: Some(0) };
    let [login, change, rotation] = three_kinds(&world, ada, operator).await;
    let cli = |uid| Some(Actor::CommandLine { uid });
    let check = async |set: &dyn Fn(&mut AuditFilter), expected: &[&AuditEvent]| {
        let mut filter = AuditFilter::default();
        set(&mut filter);
        let expected: Vec<_> = expected.iter().map(|it| row(it)).collect();
        let rows = found(&world, filter.clone(), 10).await;
        assert_eq!(rows, expected, "{filter:?}");
    };
    check(&|it| it.user_id = Some(ada), &[&change, &login]).await;
    check(&|it| it.actor = Some(Actor::User(ada)), &[&rotation]).await;
    check(&|it| it.actor = cli(Some(0)), &[&change]).await;
    check(&|it| it.actor = cli(None), &[&change]).await;
    check(&|it| it.actor = cli(Some(7)), &[]).await;
    check(&|it| it.kind = Some(Kind::Login), &[&login]).await;
    check(&|it| it.kind = Some(Kind::ServiceRotate), &[&rotation]).await;
    check(&|it| it.outcome = Some(SUCCESS.into()), &[&change]).await;
    check(&|it| it.outcome = Some("forbidden".into()), &[&rotation]).await;
    check(&|it| it.address = login.address, &[&login]).await;
    check(&|it| it.since = Some(change.at), &[&rotation, &change]).await;
    check(&|it| it.until = Some(change.at), &[&login]).await;
    let nothing = |it: &mut AuditFilter| {
        it.user_id = Some(ada);
        it.until = Some(login.at);
    };
    check(&nothing, &[]).await;
}

async fn pages_show_each_row_once(world: World) {
    let mut expected: Vec<_> = some(&world, 12).await.iter().map(row).collect();
    // Rows with the same millisecond are not lost between two pages.
    for _ in 0..3 {
        let event = event(&world, SUCCESS);
        let audit = &world.stores.audit;
        audit.append(std::slice::from_ref(&event)).await.unwrap();
        expected.push(row(&event));
    }
    expected.reverse();
    let (mut filter, mut seen) = (AuditFilter::default(), Vec::new());
    loop {
        let page = world.stores.audit.search(&filter, 2).await.unwrap();
        let Some(last) = page.last() else {
            break;
        };
        filter.after = Some(AuditCursor::from(last));
        seen.extend(page.into_iter().map(|row| AuditRow { seq: 0, ..row }));
    }
    assert_eq!(seen, expected);
}

async fn only_old_events_are_removed_and_no_more_than_asked(world: World) {
    let audit = &world.stores.audit;
    let events = some(&world, 10).await;
    let before = events[6].at;
    assert_eq!(audit.prune(before, 4).await.unwrap(), 4);
    let left: Vec<AuditRow> = events[4..].iter().rev().map(row).collect();
    assert_eq!(latest(&world, 100).await, left);
    assert_eq!(audit.prune(before, 4).await.unwrap(), 2);
    assert_eq!(audit.prune(before, 4).await.unwrap(), 0);
    assert_eq!(latest(&world, 100).await.len(), 4);
}

async fn the_trail_survives_a_restart(world: World) {
    let events = some(&world, 2).await;
    world.stores.close().await;
    let reopened = world.another().await;
    let rows = reopened.audit.search(&AuditFilter::default(), 10).await;
    let ids = rows.unwrap().into_iter().map(|row| row.user_id);
    let expected = [events[1].user_id, events[0].user_id];
    assert_eq!(ids.collect::<Vec<_>>(), expected);
}
