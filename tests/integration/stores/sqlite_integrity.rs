//! Recounts and repairs of the embedded store: every difference that can be planted in the file.

use skriptoteket::{
    accounts::{Role, UserId},
    sessions::{Difference, EndReason, Recount, RoleUpdate, SessionRecord},
    store::Stores,
};
use skriptoteket_testing::stores::{IDLE, new_session, raw};
use sqlx::AssertSqlSafe;

use crate::stores::world::{Backend, World};

/// Three sessions of two users, an end of each kind, an expired session.
async fn peopled() -> (World, Vec<SessionRecord>) {
    let world = World::new(Backend::Sqlite).await;
    world.start(UserId::generate(), Role::Contributor).await;
    world.advance(IDLE);
    let (ada, bob) = (UserId::generate(), UserId::generate());
    let sessions = vec![
        world.start(ada, Role::Admin).await,
        world.start(ada, Role::Admin).await,
        world.start(bob, Role::User).await,
    ];
    let gone = world.start(bob, Role::User).await;
    world.end(&gone).await.unwrap();
    (world, sessions)
}

async fn plant(world: &World, statement: &str) {
    let mut connection = raw(&world.file()).await;
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(&mut connection)
        .await
        .unwrap();
}

async fn recount(stores: &Stores, repair: bool) -> Recount {
    stores.integrity.recount(repair).await.unwrap()
}

fn found(recount: &Recount) -> Vec<(Difference, u64)> {
    let findings = recount.findings.iter();
    findings
        .map(|finding| (finding.kind, finding.count))
        .collect()
}

/// Checks the conservation rule for each role.
async fn assert_conserved(world: &World) {
    let census = world.census().await;
    for role in 0..4 {
        let ended: u64 = census.totals.ended[role].iter().sum();
        assert_eq!(
            census.totals.started[role] - ended,
            census.sessions[role] + census.expired[role],
            "{census:?}"
        );
    }
}

#[tokio::test]
async fn a_store_that_is_right_has_no_difference_and_the_same_numbers_on_both_sides() {
    let (world, _) = peopled().await;
    let recount = recount(&world.stores, true).await;
    assert_eq!(found(&recount), []);
    assert_eq!(recount.repaired, 0);
    assert_eq!(recount.index, world.census().await);
    assert_eq!(recount.index.sessions, [1, 0, 2, 0]);
    assert_eq!(recount.index.users, [1, 0, 1, 0]);
    assert_eq!(recount.index.expired, [0, 1, 0, 0]);
    let records = recount.records;
    assert_eq!(records.sessions, recount.index.sessions);
    assert_eq!(records.users, recount.index.users);
    assert_eq!(records.expired, recount.index.expired);
}

#[tokio::test]
async fn each_difference_is_found_and_left_alone_then_mended() {
    use Difference::{
        IndexedWithoutRecord, RecordNotIndexed, TotalsDisagree, UserIndexedOtherwise,
    };
    for (statement, expected) in [
        (
            "UPDATE sessions SET state = 'x' WHERE role = 2",
            &[(IndexedWithoutRecord, 2)][..],
        ),
        (
            "UPDATE session_tallies SET sessions = sessions + 2 WHERE role = 0",
            &[(IndexedWithoutRecord, 2), (TotalsDisagree, 2)],
        ),
        (
            "UPDATE session_tallies SET sessions = sessions - 1 WHERE role = 2",
            &[(RecordNotIndexed, 1), (TotalsDisagree, 1)],
        ),
        (
            // Negative: the census itself cannot be read.
            "UPDATE session_tallies SET sessions = 0, users = 0 WHERE role = 1",
            &[
                (RecordNotIndexed, 1),
                (UserIndexedOtherwise, 1),
                (TotalsDisagree, 1),
            ],
        ),
        (
            "UPDATE session_tallies SET users = users + 3 WHERE role = 3",
            &[(UserIndexedOtherwise, 3)],
        ),
        (
            "DELETE FROM session_users WHERE role = 2",
            &[(UserIndexedOtherwise, 1)],
        ),
        (
            "UPDATE session_users SET role = 3 WHERE role = 2",
            &[(UserIndexedOtherwise, 1)],
        ),
        (
            "UPDATE session_users SET expires_at = expires_at - 1 WHERE role < 2",
            &[(UserIndexedOtherwise, 2)],
        ),
        (
            "INSERT INTO session_users VALUES ('nobody', 0, 9999999999999)",
            &[(UserIndexedOtherwise, 1)],
        ),
        (
            "INSERT INTO session_users VALUES (CAST(x'ff1b' AS TEXT), 0, 9999999999999)",
            &[(UserIndexedOtherwise, 1)],
        ),
        (
            "UPDATE session_tallies SET started = started + 5 WHERE role = 3",
            &[(TotalsDisagree, 5)],
        ),
        (
            "UPDATE session_tallies SET revoked = 7 WHERE role = 0",
            &[(TotalsDisagree, 7)],
        ),
    ] {
        let (world, _) = peopled().await;
        plant(&world, statement).await;
        // A recount without repair changes nothing, so the second one finds the same.
        for _ in 0..2 {
            let recount = recount(&world.stores, false).await;
            assert_eq!(found(&recount), expected, "{statement}");
            assert_eq!(recount.repaired, 0);
        }
        let repaired = recount(&world.stores, true).await;
        assert_eq!(found(&repaired), expected, "{statement}");
        assert!(repaired.repaired > 0, "{statement}");
        let again = recount(&world.stores, true).await;
        assert_eq!(found(&again), [], "{statement}");
        assert_eq!(again.repaired, 0, "{statement}");
        assert_eq!(again.records.users, again.index.users, "{statement}");
        assert_conserved(&world).await;
        // The store works as before.
        world.start(UserId::generate(), Role::Superuser).await;
        world.advance(IDLE);
        while !world.stores.sessions.reap(10).await.unwrap().is_empty() {}
        assert_eq!(world.census().await.sessions, [0; 4]);
        assert_eq!(found(&recount(&world.stores, false).await), []);
    }
}

#[tokio::test]
async fn a_session_that_cannot_be_read_is_ended_as_lost() {
    let (world, sessions) = peopled().await;
    plant(&world, "UPDATE sessions SET username = '' WHERE role = 2").await;
    let found = recount(&world.stores, true).await;
    let [unreadable] = &found.findings[..] else {
        panic!("{found:?}")
    };
    assert_eq!(unreadable.examples, ["sessions.seq 2", "sessions.seq 3"]);
    assert_eq!(found.repaired, 2);
    let census = world.census().await;
    assert_eq!(census.sessions, [1, 0, 0, 0]);
    assert_eq!(census.users, [1, 0, 0, 0]);
    let lost = EndReason::Lost.index();
    assert_eq!(census.totals.ended[2][lost], 2);
    for session in &sessions[..2] {
        assert_eq!(world.stores.sessions.load(&session.id).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_store_in_use_shows_no_difference() {
    let (world, _) = peopled().await;
    let stores = world.another().await;
    let busy = tokio::spawn(async move {
        for n in 0.. {
            let user = UserId::generate();
            let role = Role::ALL[n % 4];
            let session = new_session(user, role);
            let (started, _) = stores.sessions.create(session, 3).await.unwrap();
            stores
                .sessions
                .set_role(user, RoleUpdate::new(Role::User, 1))
                .await
                .unwrap();
            if n % 2 == 0 {
                let reason = EndReason::Logout;
                stores.sessions.end(&started.id, reason).await.unwrap();
            }
        }
    });
    for n in 0..50 {
        let recount = recount(&world.stores, n % 2 == 0).await;
        assert_eq!(found(&recount), []);
        assert_eq!(recount.records.sessions, recount.index.sessions);
    }
    busy.abort();
    assert!(busy.await.unwrap_err().is_cancelled());
}

#[tokio::test]
async fn the_file_says_what_it_is() {
    let (world, _) = peopled().await;
    let facts = world.stores.integrity.facts().await.unwrap();
    let fact = |name: &str| {
        let fact = facts.iter().find(|(it, _)| it == name);
        fact.unwrap().1.clone()
    };
    assert_eq!(fact("store"), "sqlite");
    assert_eq!(fact("journal_mode"), "wal");
    assert_eq!(fact("file"), world.file().display().to_string());
    assert!(fact("version").starts_with("3."), "{}", fact("version"));
    assert!(fact("file_bytes").parse::<u64>().unwrap() >= 4096);
    assert!(fact("schema").parse::<u64>().unwrap() >= 4);
}
