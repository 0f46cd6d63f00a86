//! The contract of `AuditRepository`.

use skriptoteket::{
    accounts::UserId,
    audit::{Actor, AuditCursor, AuditEvent, AuditFilter, AuditRow, Kind, PENDING, SUCCESS},
    clock::Timestamp,
    telemetry::instruments::FAILURE_REASONS,
};

use crate::world::{Backend, World, seconds};

on_every_store!(
    the_newest_events_come_first,
    an_event_that_is_written_twice_is_there_once,
    refused_attempts_of_one_minute_are_one_row_that_counts_them,
    a_batch_that_is_repeated_is_counted_once,
    refused_requests_of_one_network_are_one_row_that_names_nothing_they_sent,
    an_action_whose_announcement_was_late_takes_its_outcome_and_hides_no_other,
    beyond_a_thousand_clients_of_one_minute_the_others_share_a_row,
    what_is_in_the_future_is_brought_back,
    what_is_not_known_is_left_open,
    an_announced_action_takes_its_outcome_once,
    rows_are_found_by_every_condition,
    pages_show_each_row_once,
    only_old_events_are_removed_and_no_more_than_asked,
    the_trail_survives_a_restart,
);

fn event(world: &World, outcome: &'static str) -> AuditEvent {
    AuditEvent {
        user_id: Some(UserId::generate()),
        address: Some("2001:db8::7".parse().unwrap()),
        ..AuditEvent::new(Kind::Login, world.now(), outcome)
    }
}

/// The row of an event, without its place in the trail.
fn row(event: &AuditEvent) -> AuditRow {
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

async fn latest(world: &World, limit: u32) -> Vec<AuditRow> {
    found(world, AuditFilter::default(), limit).await
}

/// `n` events, a second apart.
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
    // Two of one millisecond: the one that was written later is the newer one.
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

async fn refused_attempts_of_one_minute_are_one_row_that_counts_them(world: World) {
    let audit = &world.stores.audit;
    let ada = Some(UserId::generate());
    let refused = |outcome, user_id| AuditEvent {
        user_id,
        ..event(&world, outcome)
    };
    let first = world.now();
    let mut events = vec![refused("invalid_credentials", ada); 3];
    events.extend(vec![refused("invalid_credentials", None); 2]);
    // Whatever names a blocked address tries, it is one row, which names none.
    events.extend((0..50).map(|_| refused("rate_limited", Some(UserId::generate()))));
    let events: Vec<_> = events
        .into_iter()
        .map(|it| AuditEvent {
            id: uuid::Uuid::now_v7(),
            ..it
        })
        .collect();
    audit.append(&events).await.unwrap();
    world.advance(seconds(1));
    let later = refused("rate_limited", ada);
    audit.append(std::slice::from_ref(&later)).await.unwrap();
    world.advance(seconds(60));
    let next_minute = refused("rate_limited", ada);
    audit
        .append(std::slice::from_ref(&next_minute))
        .await
        .unwrap();

    let rows = latest(&world, 100).await;
    let told = |row: &AuditRow| (row.outcome.clone(), row.user_id, row.count);
    assert_eq!(told(&rows[0]), ("rate_limited".into(), None, 1));
    let mut others: Vec<_> = rows[1..].iter().map(told).collect();
    others.sort_by_key(|(_, _, count)| *count);
    assert_eq!(
        others,
        [
            ("invalid_credentials".into(), None, 2),
            ("invalid_credentials".into(), ada, 3),
            ("rate_limited".into(), None, 51),
        ]
    );
    let flood = rows.iter().find(|row| row.count == 51).unwrap();
    assert_eq!((flood.at, flood.last_at), (first, later.at));
}

async fn a_batch_that_is_repeated_is_counted_once(world: World) {
    let audit = &world.stores.audit;
    let batch: Vec<_> = (0..7).map(|_| event(&world, "rate_limited")).collect();
    // As the writer does when the answer to the first was lost.
    audit.append(&batch).await.unwrap();
    audit.append(&batch).await.unwrap();
    let count = |rows: Vec<AuditRow>| rows.iter().map(|row| row.count).sum::<u64>();
    assert_eq!(count(latest(&world, 10).await), 7);
    let next: Vec<_> = (0..2).map(|_| event(&world, "rate_limited")).collect();
    audit.append(&next).await.unwrap();
    assert_eq!(count(latest(&world, 10).await), 9);
}

/// How many attempts these rows stand for.
fn attempts(rows: &[AuditRow]) -> u64 {
    rows.iter().map(|row| row.count).sum()
}

async fn refused_requests_of_one_network_are_one_row_that_names_nothing_they_sent(world: World) {
    let from = |host: u16| Some(format!("2001:db8:0:1::{host:x}").parse().unwrap());
    let outcomes = [
        "unauthenticated",
        "forbidden",
        "cross_site",
        "invalid_request",
        "not_found",
        "rate_limited",
        "store_unavailable",
        "internal_error",
        "cancelled",
    ];
    for outcome in outcomes {
        let events: Vec<_> = (1..=50)
            .map(|host| AuditEvent {
                user_id: Some(UserId::generate()),
                target: Some(format!("service:made-up-{host}")),
                address: from(host),
                ..AuditEvent::new(Kind::UserDelete, world.now(), outcome)
            })
            .collect();
        for batch in events.chunks(20) {
            world.stores.audit.append(batch).await.unwrap();
        }
    }
    let expected = outcomes.iter().rev().map(|outcome| AuditRow {
        count: 50,
        address: from(1),
        ..row(&AuditEvent::new(Kind::UserDelete, world.now(), outcome))
    });
    assert_eq!(latest(&world, 100).await, expected.collect::<Vec<_>>());
    // Who is logged in has a row of their own, and so has another network.
    let one = AuditEvent {
        actor: Some(Actor::User(UserId::generate())),
        address: from(1),
        ..AuditEvent::new(Kind::UserDelete, world.now(), "forbidden")
    };
    let other = AuditEvent {
        address: Some("2001:db8:0:2::1".parse().unwrap()),
        ..AuditEvent::new(Kind::UserDelete, world.now(), "forbidden")
    };
    for event in [&one, &other] {
        let audit = &world.stores.audit;
        audit.append(std::slice::from_ref(event)).await.unwrap();
    }
    assert_eq!(latest(&world, 2).await, [row(&other), row(&one)]);
}

async fn an_action_whose_announcement_was_late_takes_its_outcome_and_hides_no_other(world: World) {
    let audit = &world.stores.audit;
    let refused = || AuditEvent {
        address: Some("192.0.2.1".parse().unwrap()),
        ..AuditEvent::new(Kind::SessionRevoke, world.now(), "store_unavailable")
    };
    // The row was committed, and the one who announced it was told that the store did not answer.
    let late = refused();
    let announced = AuditEvent {
        outcome: PENDING,
        announced: true,
        ..late.clone()
    };
    audit.announce(&announced).await.unwrap();
    // Another one: the change was committed together with its row, and the answer was lost.
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

async fn beyond_a_thousand_clients_of_one_minute_the_others_share_a_row(world: World) {
    let audit = &world.stores.audit;
    let from = |n: u32| AuditEvent {
        user_id: None,
        address: Some(std::net::Ipv4Addr::from(0x0a00_0000 + n).into()),
        ..event(&world, "rate_limited")
    };
    let flood: Vec<_> = (0..3_000).map(from).collect();
    for batch in flood.chunks(256) {
        audit.append(batch).await.unwrap();
    }
    // One that has its row goes on in it; and whoever is logged in has one of their own.
    let known = from(0);
    let somebody = AuditEvent {
        actor: Some(Actor::User(UserId::generate())),
        ..AuditEvent::new(Kind::UserDelete, world.now(), "forbidden")
    };
    audit.append(&[known, somebody.clone()]).await.unwrap();
    let rows = latest(&world, 5_000).await;
    assert_eq!(attempts(&rows), 3_002);
    assert_eq!(rows.len(), 1_002);
    assert_eq!(rows[0], row(&somebody));
    let others: Vec<_> = rows.iter().filter(|row| row.count > 2).collect();
    assert_eq!(others.len(), 1);
    assert_eq!((others[0].count, others[0].address), (2_000, None));
    assert_eq!(others[0].outcome, "rate_limited");
    let known = rows.iter().find(|row| row.count == 2).unwrap();
    assert_eq!(known.address, flood[0].address);
    // The next minute begins anew.
    world.advance(seconds(60));
    let next = from(2_999);
    audit.append(std::slice::from_ref(&next)).await.unwrap();
    let expected = AuditRow {
        user_id: None,
        ..row(&next)
    };
    assert_eq!(latest(&world, 1).await, [expected]);
}

async fn what_is_in_the_future_is_brought_back(world: World) {
    let audit = &world.stores.audit;
    let start = world.now();
    let year = seconds(365 * 86_400);
    let ahead = |outcome| AuditEvent {
        at: start.plus(year),
        ..event(&world, outcome)
    };
    let (login, refused) = (ahead(SUCCESS), ahead("rate_limited"));
    audit.append(&[login, refused.clone()]).await.unwrap();
    // A little ahead is what clocks are.
    let close = AuditEvent {
        at: start.plus(seconds(20)),
        ..event(&world, SUCCESS)
    };
    audit.append(std::slice::from_ref(&close)).await.unwrap();
    let before = Timestamp::from_millis(start.as_millis() - 1);
    audit.prune(before, 1).await.unwrap();
    audit.prune(before, 1).await.unwrap();
    let rows = latest(&world, 10).await;
    let times: Vec<_> = rows.iter().map(|row| (row.at, row.last_at)).collect();
    assert_eq!(
        times,
        [(close.at, close.at), (start, start), (start, start)]
    );
    for row in &rows[1..] {
        let detail = row.detail.as_deref().unwrap_or_default();
        assert!(detail.contains("2027-01-01T12:00:00Z"), "{detail}");
    }
    // A row that was brought back counts nothing more when its minute comes.
    world.advance(year);
    audit.append(&[ahead("rate_limited")]).await.unwrap();
    assert_eq!(latest(&world, 10).await.len(), 4);
    assert_eq!(attempts(&latest(&world, 10).await), 4);
    // And it goes as all others go.
    while audit.prune(start.plus(seconds(60)), 1).await.unwrap() > 0 {}
    assert_eq!(latest(&world, 10).await.len(), 1);
}

/// Every kind and outcome that a client without a session can bring about, from one network, every minute.
#[tokio::test]
async fn a_flood_from_one_network_grows_the_file_by_less_than_a_mebibyte_an_hour() {
    let world = World::new(Backend::Sqlite).await;
    world.stores.close().await;
    let empty = std::fs::metadata(world.file()).unwrap().len();
    let stores = world.another().await;
    let kinds = [
        Kind::PasswordChange,
        Kind::UserCreate,
        Kind::UserChange,
        Kind::UserDelete,
        Kind::SessionRevoke,
        Kind::ServiceRegister,
        Kind::ServiceChange,
        Kind::ServiceRotate,
        Kind::ServiceDelete,
    ];
    // Accounts that somebody knows of, and that are locked.
    let known: Vec<_> = (0..100).map(|_| Some(UserId::generate())).collect();
    let from_network = |kind, outcome, user_id| AuditEvent {
        user_id,
        address: Some(
            format!("2001:db8:0:1::{:x}", rand::random::<u16>())
                .parse()
                .unwrap(),
        ),
        ..AuditEvent::new(kind, world.now(), outcome)
    };
    for _ in 0..60 {
        let mut events = Vec::new();
        for user in &known {
            events.push(from_network(Kind::Login, "account_locked", *user));
        }
        for outcome in FAILURE_REASONS {
            events.push(from_network(Kind::Login, outcome, known[0]));
        }
        for kind in kinds.into_iter().cycle().take(100) {
            let made_up = Some(UserId::generate());
            events.push(from_network(kind, "unauthenticated", made_up));
            events.push(from_network(kind, "cross_site", made_up));
        }
        stores.audit.append(&events).await.unwrap();
        world.advance(seconds(60));
    }
    stores.close().await;
    let grown = std::fs::metadata(world.file()).unwrap().len() - empty;
    assert!(grown < 1 << 20, "{grown}");
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

/// A refused login, a change on the command line, and a refused action of a user.
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
    // Rows of one millisecond do not fall between two pages.
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
