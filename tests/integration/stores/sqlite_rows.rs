//! Damaged rows of the embedded store and their effects: no session, no panic, and no endless work.

use skriptoteket::{
    accounts::{AccountError, Role, UserId},
    audit::AuditFilter,
    error::StoreError,
    services::{LimitPolicy, NewSigningKey, ServiceChange},
    sessions::{EndReason, SessionFilter},
};
use skriptoteket_testing::stores::{IDLE, raw};
use sqlx::AssertSqlSafe;

use crate::stores::{
    tokens::new_key,
    world::{Backend, World, name, new_account, new_service, seconds, service_id},
};

/// Invalid values of every kind that the table's constraints allow.
const SPOILT: [&str; 10] = [
    "state = 'not json'",
    "state = '[1, 2]'",
    "state = '{\"a\": {\"nested\": 1}}'",
    "state = ''",
    "username = '../etc/passwd'",
    "username = CAST(x'fffe' AS TEXT)",
    "user_agent = CAST(x'ff' AS TEXT)",
    "network = '192.0.2.7'",
    "user_id = 'nobody'",
    "idle = -1",
];

async fn spoil(world: &World, statement: String) {
    let mut connection = raw(&world.file()).await;
    let spoilt = sqlx::query(AssertSqlSafe(statement)).execute(&mut connection);
    assert_eq!(spoilt.await.unwrap().rows_affected(), 1);
}

#[tokio::test]
async fn a_session_that_cannot_be_read_is_corrupt_and_in_no_list() {
    for change in SPOILT {
        let world = World::new(Backend::Sqlite).await;
        let sessions = &world.stores.sessions;
        let user = UserId::generate();
        let spoilt = world.start(user, Role::User).await;
        let mut whole = Vec::new();
        for _ in 0..3 {
            whole.push(world.start(user, Role::User).await);
        }
        spoil(
            &world,
            format!("UPDATE sessions SET {change} WHERE id = '{}'", spoilt.id),
        )
        .await;

        let loaded = sessions.load(&spoilt.id).await;
        assert!(matches!(loaded, Err(StoreError::Corrupt(_))), "{change}");
        let touched = sessions.touch(&spoilt.id, IDLE, IDLE).await;
        assert!(matches!(touched, Err(StoreError::Corrupt(_))), "{change}");
        let listed = sessions.list_user(user).await.unwrap();
        assert_eq!(listed.len(), 3, "{change}");
        // A page is full although a row was left out; otherwise it would look like the last page.
        whole.sort_by(|a, b| a.id.cmp(&b.id));
        let filter = SessionFilter::default();
        assert_eq!(
            sessions.page(filter, None, 3).await.unwrap(),
            whole,
            "{change}"
        );
        let counted = sessions.census().await.unwrap();
        assert_eq!(
            counted.sessions,
            [4, 0, 0, 0],
            "a row that still exists is still counted"
        );
        sessions.end(&spoilt.id, EndReason::Logout).await.unwrap();
        let counted = sessions.census().await.unwrap();
        assert_eq!(counted.sessions, [3, 0, 0, 0], "{change}");
        assert_eq!(counted.totals.ended[0], [1, 0, 0, 0, 0, 0, 0], "{change}");
    }
}

#[tokio::test]
async fn a_session_that_cannot_be_read_does_not_stop_the_reaper() {
    for change in [SPOILT[0], SPOILT[4], SPOILT[7], "id = 'no id'"] {
        let world = World::new(Backend::Sqlite).await;
        let spoilt = world.start(UserId::generate(), Role::User).await;
        world.start(UserId::generate(), Role::User).await;
        spoil(
            &world,
            format!("UPDATE sessions SET {change} WHERE id = '{}'", spoilt.id),
        )
        .await;
        world.advance(IDLE);
        let reaped = world.stores.sessions.reap(10).await.unwrap();
        assert!((1..=2).contains(&reaped.len()), "{change}");
        let counted = world.stores.sessions.census().await.unwrap();
        assert_eq!(counted.expired, [0; 4], "{change}");
        assert_eq!(counted.totals.ended[0], [0, 2, 0, 0, 0, 0, 0], "{change}");
    }
}

#[tokio::test]
async fn an_account_that_cannot_be_read_is_corrupt() {
    for change in [
        "username = '<script>'",
        "username = CAST(x'ff' AS TEXT)",
        "disabled = 1, version = 1, username = ''",
    ] {
        let world = World::new(Backend::Sqlite).await;
        let accounts = &world.stores.accounts;
        let user = world.add("ada", Role::User).await;
        spoil(
            &world,
            format!("UPDATE accounts SET unsettled = 1, {change}"),
        )
        .await;
        let found = accounts.find(user.id).await;
        assert!(matches!(found, Err(StoreError::Corrupt(_))), "{change}");
        assert!(matches!(
            accounts.list(None, 9).await,
            Err(StoreError::Corrupt(_))
        ));
        assert!(matches!(
            accounts.unsettled(9).await,
            Err(StoreError::Corrupt(_))
        ));
        let deleted = accounts.delete(user.id).await;
        assert!(matches!(
            deleted,
            Err(AccountError::Store(StoreError::Corrupt(_)))
        ));
        // The other rows are unaffected.
        accounts.add(new_account("bob", Role::User)).await.unwrap();
        assert!(
            accounts
                .find_by_username(&name("bob"))
                .await
                .unwrap()
                .is_some()
        );
    }
}

#[tokio::test]
async fn an_audit_event_that_cannot_be_read_is_corrupt() {
    let world = World::new(Backend::Sqlite).await;
    let row =
        "INSERT INTO audit_events (id, at, outcome, address) VALUES ('x', 1, 'success', 'nowhere')";
    spoil(&world, row.to_owned()).await;
    let latest = world.stores.audit.search(&AuditFilter::default(), 1).await;
    assert!(matches!(latest, Err(StoreError::Corrupt(_))));
}

#[tokio::test]
async fn a_service_that_cannot_be_read_is_corrupt() {
    for change in [
        "services SET registration = 'none'",
        "services SET description = CAST(x'ff' AS TEXT)",
        "services SET scopes = 'a  b'",
        "services SET scopes = ' '",
        "services SET interval_us = -1",
        "services SET burst = 4294967296",
        "services SET daily_quota = -1",
        "service_credentials SET id = 'none'",
    ] {
        let world = World::new(Backend::Sqlite).await;
        let services = &world.stores.services;
        services.register(new_service("orders"), 9).await.unwrap();
        spoil(&world, format!("UPDATE {change}")).await;
        let all = services.all().await;
        assert!(matches!(all, Err(StoreError::Corrupt(_))), "{change}");
        let id = service_id("orders");
        let found = services.find(&id).await;
        assert!(matches!(found, Err(StoreError::Corrupt(_))), "{change}");
        let changed = services.change(&id, ServiceChange::default()).await;
        assert!(matches!(changed, Err(StoreError::Corrupt(_))), "{change}");
        let secret = new_service("orders").secret;
        let rotated = services.rotate(&id, secret, None, seconds(1), true).await;
        assert!(matches!(rotated, Err(StoreError::Corrupt(_))), "{change}");
        // It can be removed.
        assert!(services.delete(&id).await.unwrap(), "{change}");
        assert!(services.all().await.unwrap().services.is_empty());
    }
}

#[tokio::test]
async fn a_service_whose_id_is_none_is_corrupt_where_all_are_read() {
    let world = World::new(Backend::Sqlite).await;
    let services = &world.stores.services;
    services.register(new_service("orders"), 9).await.unwrap();
    let row = "INSERT INTO services SELECT 'No Slug', registration, '', 0, 1, '', 1, 1, \
        NULL, NULL, NULL, NULL, 0 FROM services";
    spoil(&world, row.to_owned()).await;
    assert!(matches!(services.all().await, Err(StoreError::Corrupt(_))));
    // The other rows are unaffected.
    let found = services.find(&service_id("orders")).await;
    assert!(found.unwrap().is_some());
}

#[tokio::test]
async fn what_cannot_be_read_of_tokens_and_quotas_is_corrupt() {
    let world = World::new(Backend::Sqlite).await;
    let tokens = &world.stores.tokens;
    let key: NewSigningKey = new_key("one");
    assert!(tokens.add_key(key, None).await.unwrap());
    spoil(&world, "UPDATE signing_keys SET algorithm = 'none'".into()).await;
    assert!(matches!(tokens.keys().await, Err(StoreError::Corrupt(_))));

    let expires_at = world.now().plus(seconds(60));
    tokens.revoke(uuid::Uuid::nil(), expires_at).await.unwrap();
    spoil(&world, "UPDATE revocations SET token = 'none'".into()).await;
    let revocations = tokens.revocations(0).await;
    assert!(matches!(revocations, Err(StoreError::Corrupt(_))));

    let limits = LimitPolicy {
        interval: seconds(1),
        burst: 1,
        daily_quota: None,
    };
    let (quotas, id) = (&world.stores.quotas, uuid::Uuid::nil());
    quotas.charge(id, &limits).await.unwrap();
    spoil(&world, "UPDATE quotas SET used = -1".into()).await;
    let charged = quotas.charge(id, &limits).await;
    assert!(matches!(charged, Err(StoreError::Corrupt(_))));
    quotas.forget(id).await.unwrap();
    quotas.charge(id, &limits).await.unwrap();
}
