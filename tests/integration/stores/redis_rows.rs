//! Damaged keys in Redis and their effects: no session, no panic, no endless work, no leak.

use std::time::Duration;

use skriptoteket::{
    accounts::{Role, UserId},
    error::StoreError,
    sessions::{EndReason, RoleUpdate, SessionFilter, SessionRecord, SessionState},
};
use skriptoteket_testing::{
    redis::{Reply, Wire},
    stores::{IDLE, LIFETIME, new_session},
};

use crate::stores::world::{Backend, World, ended, redis_server, seconds};

/// Returns the key of a session's record.
fn record_key(world: &World, session: &SessionRecord) -> String {
    let (shard, sid) = session.id.as_str().split_at(2);
    format!("{{{}:{shard}}}:s:{sid}", world.prefix())
}

/// Returns the keys of its shard that remain when no user is logged in.
fn lasting_keys(world: &World, session: &SessionRecord) -> [String; 2] {
    let shard = format!("{{{}:{}}}", world.prefix(), &session.id.as_str()[..2]);
    [":n", ":r"].map(|name| shard.clone() + name)
}

fn totals_key(world: &World, session: &SessionRecord) -> String {
    format!("{{{}:{}}}:n", world.prefix(), &session.id.as_str()[..2])
}

/// Damages to a record, one command each; KEY stands for its key.
const SPOILT: [&[&str]; 13] = [
    &["SET", "KEY", ""],
    &["SET", "KEY", "not a record"],
    &["SETRANGE", "KEY", "0", "x"],
    &["SETRANGE", "KEY", "12", "-"],
    &["SETRANGE", "KEY", "70", " "],
    &["SETRANGE", "KEY", "78", "4"],
    &["SETRANGE", "KEY", "79", "!"],
    // The last character of a UUID has only four possible values.
    &["SETRANGE", "KEY", "100", "B"],
    &["SETRANGE", "KEY", "101", " "],
    &["LPUSH", "KEY", "another type"],
    // From here on the head is readable and the rest is not.
    &["SETRANGE", "KEY", "102", "x"],
    &["APPEND", "KEY", "}"],
    // The first bit of a byte in the second line: not UTF-8.
    &["SETBIT", "KEY", "840", "1"],
];
const WITHOUT_A_HEAD: usize = 10;

fn spoil(wire: &mut Wire, key: &str, change: &[&str]) {
    if change[0] == "LPUSH" {
        wire.ask(&["DEL", key]);
    }
    let words: Vec<&str> = (change.iter())
        .map(|word| if *word == "KEY" { key } else { word })
        .collect();
    let answer = wire.ask(&words);
    assert!(!matches!(answer, Reply::Error(_)), "{answer:?}");
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_corrupt_and_in_no_list() {
    let mut wire = redis_server().wire();
    for (n, change) in SPOILT.into_iter().enumerate() {
        let world = World::new(Backend::Redis).await;
        let sessions = &world.stores.sessions;
        let user = UserId::generate();
        let spoilt = world.start(user, Role::User).await;
        let mut whole = Vec::new();
        for _ in 0..3 {
            whole.push(world.start(user, Role::User).await);
        }
        spoil(&mut wire, &record_key(&world, &spoilt), change);

        let corrupt = |result: &StoreError| matches!(result, StoreError::Corrupt(_));
        let loaded = sessions.load(&spoilt.id).await;
        assert!(loaded.as_ref().is_err_and(corrupt), "{change:?} {loaded:?}");
        let touched = sessions.touch(&spoilt.id, IDLE, IDLE).await;
        assert!(touched.as_ref().is_err_and(corrupt), "{change:?}");
        assert_eq!(
            sessions.list_user(user).await.unwrap().len(),
            3,
            "{change:?}"
        );
        // A page is full although a row was left out; otherwise it would look like the last page.
        whole.sort_by(|a, b| a.id.cmp(&b.id));
        let filter = SessionFilter::default();
        assert_eq!(
            sessions.page(filter, None, 3).await.unwrap(),
            whole,
            "{change:?}"
        );
        let counted = sessions.census().await.unwrap();
        assert_eq!(counted.sessions, [4, 0, 0, 0], "it is still in the index");

        let end = sessions.end(&spoilt.id, EndReason::Logout).await;
        if n < WITHOUT_A_HEAD {
            assert!(end.as_ref().is_err_and(corrupt), "{change:?}");
            let counted = sessions.census().await.unwrap();
            assert_eq!(counted.sessions, [4, 0, 0, 0], "{change:?}");
        } else {
            let expected = ended(&spoilt, EndReason::Logout, Duration::ZERO);
            assert_eq!(end.unwrap(), Some(expected), "{change:?}");
        }
        // It can be ended together with the others, and its role changes with theirs.
        assert!(
            sessions
                .set_role(user, RoleUpdate::new(Role::Admin, 1))
                .await
                .unwrap()
                .moved()
                >= 3
        );
        let ends = sessions.end_user(user, EndReason::Revoked, None).await;
        assert_eq!(ends.unwrap().len(), 3, "{change:?}");
        let counted = sessions.census().await.unwrap();
        assert_eq!(counted.sessions, [0; 4], "{change:?}");
        let ends: u64 = counted.totals.ended.iter().flatten().sum();
        assert_eq!(ends, counted.totals.started.iter().sum::<u64>());
        let lost = wire.ask(&["HGET", &totals_key(&world, &spoilt), "lost"]);
        let expected = if n < WITHOUT_A_HEAD {
            Reply::Bytes(b"1".to_vec())
        } else {
            Reply::Nil
        };
        assert_eq!(lost, expected, "{change:?}");
        assert_eq!(world.keys(), lasting_keys(&world, &spoilt), "{change:?}");
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_read_does_not_stop_the_reaper_or_a_login() {
    let mut wire = redis_server().wire();
    let gone: &[&str] = &["DEL", "KEY"];
    for change in SPOILT.into_iter().take(WITHOUT_A_HEAD).chain([gone]) {
        let world = World::new(Backend::Redis).await;
        let sessions = &world.stores.sessions;
        let user = UserId::generate();
        let evicted = world.start(user, Role::User).await;
        let expired = world.start(user, Role::User).await;
        for session in [&evicted, &expired] {
            spoil(&mut wire, &record_key(&world, session), change);
        }
        let new = new_session(user, Role::Admin);
        let (live, ends) = sessions.create(new, 2).await.unwrap();
        assert_eq!(ends, [], "there is no session to report");
        let counted = sessions.census().await.unwrap();
        assert_eq!(counted.sessions, [0, 0, 2, 0], "{change:?}");
        assert_eq!(counted.totals.ended[0], [0, 0, 0, 0, 0, 2, 0]);
        assert_eq!(counted.totals.ended[2], [0, 0, 0, 0, 1, 0, 0]);

        world.advance(seconds(60));
        sessions.touch(&live.id, IDLE, seconds(1)).await.unwrap();
        world.advance(IDLE.saturating_sub(seconds(60)));
        assert_eq!(sessions.reap(10).await.unwrap(), [], "{change:?}");
        let counted = sessions.census().await.unwrap();
        assert_eq!(counted.expired, [0; 4], "{change:?}");
        assert_eq!(counted.totals.ended[2], [0, 1, 0, 0, 1, 0, 0]);
        assert_eq!(counted.users, [0, 0, 1, 0]);
        let lost = wire.ask(&["HGET", &totals_key(&world, &live), "lost"]);
        assert_eq!(lost.number(), 2, "{change:?}");

        world.end(&live).await.unwrap();
        assert_eq!(world.keys(), lasting_keys(&world, &live), "{change:?}");
    }
}

#[tokio::test]
async fn a_user_of_nothing_but_lost_sessions_leaves_the_index_of_users() {
    let world = World::new(Backend::Redis).await;
    let lost = world.start(UserId::generate(), Role::User).await;
    redis_server()
        .wire()
        .ask(&["DEL", &record_key(&world, &lost)]);
    world.advance(IDLE);
    assert_eq!(world.stores.sessions.reap(10).await.unwrap(), []);
    // Its user is unknown, so that key is left to its expiry.
    let mut left = world.keys();
    left.retain(|key| !key.contains(":u:"));
    assert_eq!(left, lasting_keys(&world, &lost));
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_sent_again() {
    let world = World::new(Backend::Redis).await;
    let sessions = &world.stores.sessions;
    let mut wire = redis_server().wire();
    let user = UserId::generate();
    let mut flush = || wire.ask(&["SCRIPT", "FLUSH"]);
    flush();
    let session = world.start(user, Role::User).await;
    flush();
    assert!(sessions.load(&session.id).await.unwrap().is_some());
    flush();
    world.advance(seconds(90));
    let touched = sessions.touch(&session.id, IDLE, seconds(1)).await;
    assert!(touched.unwrap().is_some());
    flush();
    assert!(
        sessions
            .update(&session.id, &SessionState::new())
            .await
            .unwrap()
    );
    flush();
    assert_eq!(
        sessions
            .set_role(user, RoleUpdate::new(Role::Admin, 1))
            .await
            .unwrap()
            .moved(),
        1
    );
    flush();
    assert_eq!(world.census().await.sessions, [0, 0, 1, 0]);
    flush();
    assert_eq!(sessions.list_user(user).await.unwrap().len(), 1);
    flush();
    assert!(world.end(&session).await.is_some());
    flush();
    assert_eq!(sessions.reap(10).await.unwrap(), []);
    flush();
    sessions.ping().await.unwrap();
}

#[tokio::test]
async fn keys_expire_some_time_after_what_they_are_for() {
    const HOUR: Duration = Duration::from_hours(1);
    let world = World::new(Backend::Redis).await;
    let session = world.start(UserId::generate(), Role::User).await;
    let mut wire = redis_server().wire();
    let mut left = |key: &str| {
        let millis = wire.ask(&["PTTL", key]).number();
        u64::try_from(millis).map(Duration::from_millis)
    };
    let record = record_key(&world, &session);
    let close = |left: Duration, expected: Duration| {
        left <= expected && left > expected.saturating_sub(seconds(30))
    };
    assert!(close(left(&record).unwrap(), IDLE + HOUR));
    for key in world.keys() {
        match &key[key.rfind('}').unwrap() + 1..][..2] {
            ":u" => assert!(close(left(&key).unwrap(), LIFETIME + HOUR)),
            ":z" | ":a" | ":n" | ":r" => assert!(left(&key).is_err(), "{key} must stay"),
            _ => assert_eq!(key, record),
        }
    }
    // A session in use stays alive, and a change of its state does not remove the expiry.
    let longer = Duration::from_mins(90);
    let touched = world.stores.sessions.touch(&session.id, longer, seconds(1));
    assert!(touched.await.unwrap().is_some());
    assert!(close(left(&record).unwrap(), longer + HOUR));
    let state = [("a".to_owned(), "1".to_owned())].into();
    let updated = world.stores.sessions.update(&session.id, &state).await;
    assert!(updated.unwrap());
    assert!(close(left(&record).unwrap(), longer + HOUR));
}

#[tokio::test]
async fn only_totals_are_left_of_sessions_that_ended() {
    let world = World::new(Backend::Redis).await;
    let sessions = &world.stores.sessions;
    for n in 0..100 {
        let user = UserId::generate();
        for _ in 0..3 {
            let new = new_session(user, Role::ALL[n % 4]);
            sessions.create(new, 2).await.unwrap();
        }
        let listed = sessions.list_user(user).await.unwrap();
        match n % 3 {
            0 => drop(world.end(&listed[0]).await),
            1 => drop(
                sessions
                    .end_user(user, EndReason::Revoked, None)
                    .await
                    .unwrap(),
            ),
            _ => drop(
                sessions
                    .set_role(user, RoleUpdate::new(Role::User, 1))
                    .await
                    .unwrap(),
            ),
        }
    }
    world.advance(IDLE);
    assert_eq!(sessions.reap(1000).await.unwrap().len(), 34 + 66);
    let left = world.keys();
    assert!(
        !left.is_empty()
            && left
                .iter()
                .all(|key| key.ends_with(":n") || key.ends_with(":r")),
        "{left:?}"
    );
    // Small enough for the server's compact encoding of a hash.
    let mut wire = redis_server().wire();
    for key in &left {
        assert_eq!(wire.ask(&["OBJECT", "ENCODING", key]).text(), "listpack");
    }
}

#[tokio::test]
async fn an_id_of_another_users_shard_starts_nothing() {
    let world = World::new(Backend::Redis).await;
    let user = UserId::generate();
    let mut new = new_session(user, Role::User);
    while new.id.shard() == new_session(user, Role::User).id.shard() {
        new.id = new_session(UserId::generate(), Role::User).id;
    }
    let refused = world.stores.sessions.create(new, 3).await;
    assert!(matches!(refused, Err(StoreError::Conflict)));
    assert_eq!(world.keys(), Vec::<String>::new());
}
