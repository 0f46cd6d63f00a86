//! Rejected attempts in the audit trail: rows that count them, and the limits on the number of these rows.

use skriptoteket::{
    accounts::UserId,
    audit::{Actor, AuditEvent, AuditRow, Kind, SUCCESS},
    clock::Timestamp,
    login::LoginFailure,
};

use crate::stores::{
    audit::{event, latest, row},
    world::{Backend, World, seconds},
};

on_every_store!(
    refused_attempts_of_one_minute_are_one_row_that_counts_them,
    a_batch_that_is_repeated_is_counted_once,
    refused_requests_of_one_network_are_one_row_that_names_nothing_they_sent,
    beyond_a_thousand_clients_of_one_minute_the_others_share_a_row,
    what_is_in_the_future_is_brought_back,
);

/// Returns how many attempts these rows count.
fn attempts(rows: &[AuditRow]) -> u64 {
    rows.iter().map(|row| row.count).sum()
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
    // Attempts from a blocked address share one row without a name, whatever names they try.
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
    // As the writer does when the reply to the first attempt was lost.
    audit.append(&batch).await.unwrap();
    audit.append(&batch).await.unwrap();
    let count = |rows: Vec<AuditRow>| rows.iter().map(|row| row.count).sum::<u64>();
    assert_eq!(count(latest(&world, 10).await), 7);
    let next: Vec<_> = (0..2).map(|_| event(&world, "rate_limited")).collect();
    audit.append(&next).await.unwrap();
    assert_eq!(count(latest(&world, 10).await), 9);
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
    // Users who are logged in have their own rows, and so has another network.
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
    // An address that has a row keeps it, and a user who is logged in has their own row.
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
    // The next minute starts a new count.
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
    // Clocks may be slightly ahead.
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
    // A row whose time was clamped counts nothing more when its own minute comes.
    world.advance(year);
    audit.append(&[ahead("rate_limited")]).await.unwrap();
    assert_eq!(latest(&world, 10).await.len(), 4);
    assert_eq!(attempts(&latest(&world, 10).await), 4);
    // It is deleted like all other rows.
    while audit.prune(start.plus(seconds(60)), 1).await.unwrap() > 0 {}
    assert_eq!(latest(&world, 10).await.len(), 1);
}

/// All kinds and outcomes that a client without a session can cause, from one network, every minute.
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
    // Accounts that an attacker knows and that are locked.
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
        for outcome in LoginFailure::NAMES {
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
