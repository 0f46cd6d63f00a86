//! The contract of `SessionRepository`: the life of one session, from its start to its end. `model` tests all of it together.

use std::time::Duration;

use skriptoteket::{
    accounts::{Role, UserId},
    error::StoreError,
    sessions::{
        EndReason, Ended, NewSession, RoleUpdate, SessionFilter, SessionRecord, SessionState,
    },
};
use skriptoteket_testing::stores::{IDLE, LIFETIME, new_session};

use crate::stores::world::{World, ended, seconds};

on_every_store!(
    a_session_is_loaded_as_it_was_started,
    a_taken_id_is_a_conflict_and_changes_nothing,
    a_session_that_has_expired_is_found_by_nothing_but_the_reaper,
    use_moves_the_expiry_but_never_past_the_greatest_age,
    use_moves_the_expiry_only_by_a_step_and_never_back,
    a_session_in_use_until_its_greatest_age_ends_by_that,
    what_began_while_the_clock_was_ahead_lives_no_longer_than_what_begins_now,
    a_session_ends_once,
    nothing_brings_an_ended_session_back,
    one_that_has_expired_ends_for_its_expiry_whatever_is_asked,
    the_reaper_tells_idle_from_absolute_and_stops_at_its_limit,
    an_update_replaces_the_state_and_nothing_else,
    sessions_and_totals_survive_a_restart,
);

async fn a_session_is_loaded_as_it_was_started(world: World) {
    let user = UserId::generate();
    let state: SessionState = [
        ("quote\"'; DROP TABLE sessions; --", "{\"nested\": [1, 2]}"),
        ("leer", ""),
        ("\u{0}\u{1f600}", "\u{0}\n\u{202e}"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    let new = NewSession {
        user_agent: "Agent\u{0} \"quoted\" \u{1f980}\n".into(),
        network: Some("2001:db8:1::/48".parse().unwrap()),
        state: state.clone(),
        ..new_session(user, Role::Contributor)
    };
    let (record, evicted) = world.stores.sessions.create(new.clone(), 3).await.unwrap();
    let expected = SessionRecord {
        id: new.id,
        user_id: user,
        username: new.username,
        role: Role::Contributor,
        key_role: Role::Contributor,
        created_at: world.now(),
        last_seen_at: world.now(),
        expires_at: world.now().plus(IDLE),
        ends_at: world.now().plus(LIFETIME),
        idle: IDLE,
        user_agent: new.user_agent,
        network: new.network,
        state,
    };
    assert_eq!((&record, evicted), (&expected, vec![]));
    let loaded = world.stores.sessions.load(&record.id).await.unwrap();
    assert_eq!(loaded, Some(expected.clone()));
    let other = new_session(user, Role::User).id;
    assert_eq!(world.stores.sessions.load(&other).await.unwrap(), None);
    world.stores.sessions.ping().await.unwrap();

    // A lifetime shorter than the idle time ends the session anyway.
    let short = NewSession {
        lifetime: seconds(5),
        ..new_session(user, Role::Contributor)
    };
    let (short, _) = world.stores.sessions.create(short, 3).await.unwrap();
    assert_eq!(short.expires_at, world.now().plus(seconds(5)));
}

async fn a_taken_id_is_a_conflict_and_changes_nothing(world: World) {
    let (user, other) = (UserId::generate(), UserId::generate());
    let first = world.start(user, Role::User).await;
    let before = world.census().await;
    let again = NewSession {
        id: first.id.clone(),
        ..new_session(other, Role::Superuser)
    };
    let refused = world.stores.sessions.create(again, 1).await;
    assert!(matches!(refused, Err(StoreError::Conflict)));
    let own = NewSession {
        id: first.id.clone(),
        ..new_session(user, Role::Superuser)
    };
    let refused = world.stores.sessions.create(own, 1).await;
    assert!(matches!(refused, Err(StoreError::Conflict)));
    assert_eq!(world.census().await, before);
    let loaded = world.stores.sessions.load(&first.id).await.unwrap();
    assert_eq!(loaded, Some(first));
}

async fn a_session_that_has_expired_is_found_by_nothing_but_the_reaper(world: World) {
    let sessions = &world.stores.sessions;
    let user = UserId::generate();
    let session = world.start(user, Role::Admin).await;
    world.advance(IDLE.saturating_sub(Duration::from_millis(1)));
    assert!(sessions.load(&session.id).await.unwrap().is_some());

    world.advance(Duration::from_millis(1));
    assert_eq!(sessions.load(&session.id).await.unwrap(), None);
    let touched = sessions.touch(&session.id, IDLE, seconds(1)).await.unwrap();
    assert_eq!(touched, None);
    let updated = sessions.update(&session.id, &SessionState::new()).await;
    assert!(!updated.unwrap());
    assert_eq!(
        sessions
            .set_role(user, RoleUpdate::new(Role::User, 1))
            .await
            .unwrap()
            .moved(),
        0
    );
    assert_eq!(sessions.list_user(user).await.unwrap(), []);
    let filter = SessionFilter::default();
    assert_eq!(sessions.page(filter, None, 10).await.unwrap(), []);
    let counted = world.census().await;
    assert_eq!((counted.sessions, counted.users), ([0; 4], [0; 4]));
    assert_eq!(counted.expired, [0, 0, 1, 0]);

    let reaped = sessions.reap(10).await.unwrap();
    assert_eq!(reaped, [ended(&session, EndReason::Idle, IDLE)]);
    assert_eq!(sessions.reap(10).await.unwrap(), []);
    assert_eq!(world.census().await.expired, [0; 4]);
}

async fn use_moves_the_expiry_but_never_past_the_greatest_age(world: World) {
    let sessions = &world.stores.sessions;
    let session = world.start(UserId::generate(), Role::User).await;
    let mut last = session.clone();
    for _ in 0..5 {
        world.advance(seconds(1500));
        let touched = sessions
            .touch(&session.id, IDLE, seconds(60))
            .await
            .unwrap();
        let Some(touched) = touched else { break };
        assert_eq!(touched.last_seen_at, world.now());
        let expected = world.now().plus(IDLE).min(session.ends_at);
        assert_eq!(touched.expires_at, expected);
        assert_eq!(
            sessions.load(&session.id).await.unwrap().as_ref(),
            Some(&touched)
        );
        last = touched;
    }
    assert_eq!(last.expires_at, session.ends_at);
    assert!(last.expires_at <= world.now());
    let reaped = sessions.reap(10).await.unwrap();
    assert_eq!(reaped, [ended(&session, EndReason::Absolute, LIFETIME)]);
}

async fn use_moves_the_expiry_only_by_a_step_and_never_back(world: World) {
    let sessions = &world.stores.sessions;
    let session = world.start(UserId::generate(), Role::User).await;
    world.advance(seconds(59));
    let early = sessions
        .touch(&session.id, IDLE, seconds(60))
        .await
        .unwrap();
    assert_eq!(early.as_ref(), Some(&session));
    world.advance(seconds(1));
    let due = sessions
        .touch(&session.id, IDLE, seconds(60))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(due.expires_at, world.now().plus(IDLE));
    let back = sessions
        .touch(&session.id, seconds(10), Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(back.as_ref(), Some(&due));
    assert_eq!(due.idle, session.idle);
}

async fn a_session_ends_once(world: World) {
    let session = world.start(UserId::generate(), Role::Admin).await;
    world.advance(seconds(90));
    let first = world.end(&session).await;
    assert_eq!(first, Some(ended(&session, EndReason::Logout, seconds(90))));
    assert_eq!(world.end(&session).await, None);
    let counted = world.census().await;
    assert_eq!(counted.totals.started, [0, 0, 1, 0]);
    assert_eq!(
        counted.totals.ended[Role::Admin.index()],
        [1, 0, 0, 0, 0, 0, 0]
    );
}

async fn nothing_brings_an_ended_session_back(world: World) {
    let sessions = &world.stores.sessions;
    let user = UserId::generate();
    let session = world.start(user, Role::User).await;
    // Cached, if there is a cache.
    assert!(sessions.load(&session.id).await.unwrap().is_some());
    world.end(&session).await.unwrap();
    let before = world.census().await;

    let state: SessionState = [("cart".to_owned(), "full".to_owned())].into();
    assert!(!sessions.update(&session.id, &state).await.unwrap());
    let touched = sessions
        .touch(&session.id, IDLE, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(touched, None);
    assert_eq!(
        sessions
            .set_role(user, RoleUpdate::new(Role::Admin, 1))
            .await
            .unwrap()
            .moved(),
        0
    );
    assert_eq!(sessions.load(&session.id).await.unwrap(), None);
    assert_eq!(world.census().await, before);
}

async fn one_that_has_expired_ends_for_its_expiry_whatever_is_asked(world: World) {
    let sessions = &world.stores.sessions;
    let user = UserId::generate();
    let idle = world.start(user, Role::User).await;
    let brief = NewSession {
        lifetime: seconds(100),
        ..new_session(user, Role::User)
    };
    let (absolute, _) = sessions.create(brief, 10).await.unwrap();
    world.advance(IDLE + seconds(60));
    let live = world.start(user, Role::User).await;
    world.advance(seconds(5));

    assert_eq!(
        world.end(&idle).await,
        Some(ended(&idle, EndReason::Idle, IDLE))
    );
    let mut ends = sessions
        .end_user(user, EndReason::Revoked, None)
        .await
        .unwrap();
    ends.sort_by_key(|it| it.lasted);
    let expected = [
        ended(&live, EndReason::Revoked, seconds(5)),
        ended(&absolute, EndReason::Absolute, seconds(100)),
    ];
    assert_eq!(ends, expected);
    let totals = world.census().await.totals;
    assert_eq!(totals.ended[Role::User.index()], [0, 1, 1, 1, 0, 0, 0]);
}

async fn a_session_in_use_until_its_greatest_age_ends_by_that(world: World) {
    let sessions = &world.stores.sessions;
    // The last move of the expiry may be shorter than a step.
    let step = IDLE / 20;
    for pause in [step / 7, step / 2, step * 3 / 4, step * 5 / 4, step * 3] {
        let session = world.start(UserId::generate(), Role::User).await;
        let mut at = Duration::ZERO;
        while at + pause < LIFETIME {
            at += pause;
            world.advance(pause);
            let touched = sessions.touch(&session.id, IDLE, step).await.unwrap();
            assert!(touched.is_some(), "{pause:?}");
            assert_eq!(sessions.reap(10).await.unwrap(), []);
        }
        world.advance(LIFETIME.saturating_sub(at + seconds(1) / 1_000));
        assert_eq!(
            sessions.reap(10).await.unwrap(),
            [],
            "not before it has expired"
        );
        world.advance(seconds(1) / 1_000);
        let expected = ended(&session, EndReason::Absolute, LIFETIME);
        assert_eq!(sessions.reap(10).await.unwrap(), [expected], "{pause:?}");
    }
}

async fn what_began_while_the_clock_was_ahead_lives_no_longer_than_what_begins_now(world: World) {
    let sessions = &world.stores.sessions;
    let right = world.now();
    let user = UserId::generate();
    let before = world.start(user, Role::User).await;
    world.clock.set(right.plus(IDLE / 2));
    // One session is used and one is started while the clock is ahead.
    sessions.touch(&before.id, IDLE, seconds(1)).await.unwrap();
    world.clock.set(right.plus(Duration::from_hours(24 * 400)));
    let ahead = world.start(UserId::generate(), Role::Admin).await;
    world.clock.set(right);
    assert_eq!(sessions.now().await.unwrap(), right);
    assert_eq!(sessions.settle_clock(IDLE).await.unwrap(), 2);
    assert_eq!(sessions.settle_clock(IDLE).await.unwrap(), 0);
    let found = sessions.load(&ahead.id).await.unwrap().unwrap();
    let expected = SessionRecord {
        created_at: right,
        last_seen_at: right,
        expires_at: right.plus(IDLE),
        ends_at: right.plus(LIFETIME),
        ..ahead
    };
    assert_eq!(found, expected);
    let found = sessions.load(&before.id).await.unwrap().unwrap();
    assert_eq!(found.ends_at, before.ends_at);
    assert_eq!(found.expires_at, right.plus(IDLE));
    let counted = world.census().await;
    assert_eq!(
        (counted.sessions, counted.users),
        ([1, 0, 1, 0], [1, 0, 1, 0])
    );
    world.advance(IDLE);
    assert_eq!(world.census().await.sessions, [0; 4]);
    assert_eq!(sessions.reap(10).await.unwrap().len(), 2);
}

async fn the_reaper_tells_idle_from_absolute_and_stops_at_its_limit(world: World) {
    let sessions = &world.stores.sessions;
    let mut expected = Vec::new();
    for role in Role::ALL {
        let user = UserId::generate();
        let idle = world.start(user, role).await;
        expected.push(ended(&idle, EndReason::Idle, IDLE));
        let brief = NewSession {
            lifetime: seconds(30),
            ..new_session(user, role)
        };
        let (brief, _) = sessions.create(brief, 10).await.unwrap();
        expected.push(ended(&brief, EndReason::Absolute, seconds(30)));
    }
    assert_eq!(sessions.reap(100).await.unwrap(), []);
    world.advance(IDLE);
    let survivor = world.start(UserId::generate(), Role::User).await;

    let mut reaped = Vec::new();
    for left in [8_usize, 5, 2, 0] {
        let batch = sessions.reap(3).await.unwrap();
        assert_eq!(batch.len(), left.min(3));
        reaped.extend(batch);
    }
    let key = |it: &Ended| it.id.clone();
    reaped.sort_by_key(key);
    expected.sort_by_key(key);
    assert_eq!(reaped, expected);
    assert!(sessions.load(&survivor.id).await.unwrap().is_some());
}

async fn an_update_replaces_the_state_and_nothing_else(world: World) {
    let sessions = &world.stores.sessions;
    let session = world.start(UserId::generate(), Role::User).await;
    // Cached, if there is a cache.
    assert!(sessions.load(&session.id).await.unwrap().is_some());
    world.advance(seconds(90));
    let state: SessionState = [("a".to_owned(), "1".to_owned())].into();
    assert!(sessions.update(&session.id, &state).await.unwrap());
    let expected = SessionRecord { state, ..session };
    let loaded = sessions.load(&expected.id).await.unwrap();
    assert_eq!(loaded, Some(expected.clone()));
    assert!(
        sessions
            .update(&expected.id, &SessionState::new())
            .await
            .unwrap()
    );
    let loaded = sessions.load(&expected.id).await.unwrap().unwrap();
    assert_eq!(loaded.state, SessionState::new());
}

async fn sessions_and_totals_survive_a_restart(world: World) {
    let ended = world.start(UserId::generate(), Role::User).await;
    world.end(&ended).await.unwrap();
    let session = world.start(UserId::generate(), Role::Contributor).await;
    let before = world.census().await;
    world.stores.close().await;
    let refused = world.stores.sessions.census().await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))));

    let reopened = world.another().await;
    assert_eq!(reopened.sessions.census().await.unwrap(), before);
    let loaded = reopened.sessions.load(&session.id).await.unwrap();
    assert_eq!(loaded, Some(session));
}
