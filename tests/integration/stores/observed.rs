//! Metrics of the store's results.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use skriptoteket::{
    accounts::{AccountChange, Role, UserId},
    audit::{AuditEvent, AuditFilter, Kind, PENDING},
    catalogue::CATALOGUE,
    clock::{ManualClock, Timestamp},
    guard::{AttemptId, Budget, Charge, Checked, Decision, Entity},
    services::{RegisterError, ServiceChange, SignOfLife},
    sessions::{EndReason, RoleUpdate, SessionFilter, SessionState},
    store::{SqliteSettings, StoreMetrics, Stores, open_sqlite},
    telemetry::{Telemetry, testing::CollectedMetrics},
};
use skriptoteket_testing::stores::{IDLE, new_session};

use uuid::Uuid;

use crate::stores::{
    tokens::new_key,
    world::{name, new_account, new_service, seconds},
};

/// The number of calls of each operation, by `store operation error.type`.
type Recorded = BTreeMap<String, u64>;

/// A store with readable metrics.
struct Watched {
    stores: Stores,
    collected: CollectedMetrics,
    _telemetry: Telemetry,
    _directory: tempfile::TempDir,
}

impl Watched {
    async fn new() -> Self {
        let (telemetry, collected) = Telemetry::in_memory(CATALOGUE);
        let clock = Arc::new(ManualClock::default());
        let metrics = StoreMetrics::new(&telemetry.meter(), clock.clone());
        let directory = tempfile::tempdir().unwrap();
        let settings = SqliteSettings {
            path: directory.path().join("store.db"),
            timeout: seconds(30),
        };
        let stores = open_sqlite(&settings, clock, Some(metrics)).await.unwrap();
        Self {
            stores,
            collected,
            _telemetry: telemetry,
            _directory: directory,
        }
    }

    fn recorded(&self) -> Recorded {
        let mut recorded = Recorded::new();
        for (metric, labels) in self.collected.series() {
            assert_eq!(metric, "skriptoteket.store_operation_duration");
            let value = |key: &str| {
                let label = labels.iter().find(|(name, _)| name == key);
                label.map_or_else(String::new, |(_, value)| format!("{value} "))
            };
            let name = value("store") + &value("operation") + &value("error.type");
            let labels: Vec<_> = labels
                .iter()
                .map(|(k, v)| (k.as_str(), v.as_str()))
                .collect();
            let count = self.collected.histogram_count(&metric, &labels).unwrap();
            recorded.insert(name.trim_end().to_owned(), count);
        }
        recorded
    }
}

fn once(operations: &[&str]) -> Recorded {
    operations.iter().map(|it| ((*it).to_owned(), 1)).collect()
}

const OPERATIONS: [&str; 51] = [
    "accounts add",
    "accounts change",
    "accounts delete",
    "accounts find",
    "accounts find_by_username",
    "accounts is_empty",
    "accounts list",
    "accounts ping",
    "accounts replace_password",
    "accounts set_password",
    "accounts settle",
    "accounts unsettled",
    "accounts upgrade_hash",
    "audit append",
    "audit announce",
    "audit prune",
    "audit search",
    "limits clear",
    "limits prune",
    "limits reserve",
    "limits settle",
    "quotas charge",
    "quotas forget",
    "services all",
    "services change",
    "services delete",
    "services find",
    "services register",
    "services revision",
    "services rotate",
    "services seen",
    "sessions census",
    "sessions create",
    "sessions end",
    "sessions end_older",
    "sessions end_user",
    "sessions list_user",
    "sessions load",
    "sessions page",
    "sessions ping",
    "sessions reap",
    "sessions renew",
    "sessions set_role",
    "sessions touch",
    "sessions update",
    "tokens add_key",
    "tokens keys",
    "tokens prune",
    "tokens revocations",
    "tokens revoke",
    "tokens use_assertion",
];

#[tokio::test]
async fn every_operation_is_recorded_once_under_its_name() {
    let watched = Watched::new().await;
    each_of_accounts(&watched.stores).await;
    each_of_sessions(&watched.stores).await;
    each_of_limits_and_audit(&watched.stores).await;
    each_of_services(&watched.stores).await;
    assert_eq!(watched.recorded(), once(&OPERATIONS));
}

async fn each_of_accounts(Stores { accounts, .. }: &Stores) {
    let user = accounts.add(new_account("ada", Role::User)).await.unwrap();
    accounts.find_by_username(&name("ada")).await.unwrap();
    accounts.find(user.id).await.unwrap();
    accounts.list(None, 1).await.unwrap();
    accounts.is_empty().await.unwrap();
    accounts
        .change(user.id, AccountChange::default())
        .await
        .unwrap();
    let hash = "hash".into();
    accounts
        .replace_password(user.id, &hash, &hash)
        .await
        .unwrap();
    accounts.upgrade_hash(user.id, &hash, &hash).await.unwrap();
    accounts.set_password(user.id, &hash).await.unwrap();
    accounts.unsettled(1).await.unwrap();
    accounts.settle(user.id, 1).await.unwrap();
    accounts.delete(user.id).await.unwrap();
    accounts.ping().await.unwrap();
}

async fn each_of_sessions(Stores { sessions, .. }: &Stores) {
    let user = UserId::generate();
    let (session, _) = sessions
        .create(new_session(user, Role::User), 1)
        .await
        .unwrap();
    sessions.load(&session.id).await.unwrap();
    sessions
        .touch(&session.id, IDLE, Duration::ZERO)
        .await
        .unwrap();
    sessions
        .update(&session.id, &SessionState::new())
        .await
        .unwrap();
    sessions
        .set_role(user, RoleUpdate::new(Role::Admin, 1))
        .await
        .unwrap();
    sessions.list_user(user).await.unwrap();
    sessions
        .page(SessionFilter::default(), None, 1)
        .await
        .unwrap();
    let new = new_session(user, Role::User).id;
    sessions.renew(&session.id, user, &new).await.unwrap();
    sessions.end(&new, EndReason::Logout).await.unwrap();
    sessions
        .end_user(user, EndReason::Logout, None)
        .await
        .unwrap();
    sessions.end_older(user, 1).await.unwrap();
    sessions.reap(1).await.unwrap();
    sessions.census().await.unwrap();
    sessions.ping().await.unwrap();
}

async fn each_of_limits_and_audit(Stores { limits, audit, .. }: &Stores) {
    let budget = Budget {
        attempts: 1,
        refill: seconds(1),
        lock: seconds(1),
        longest_lock: seconds(1),
        forget: seconds(1),
    };
    let charges =
        [Entity::Address(1), Entity::UnknownName(1)].map(|entity| Charge { entity, budget });
    let attempt = AttemptId::generate();
    let decision = limits.reserve(attempt, &charges).await.unwrap();
    assert_eq!(decision, Decision::Go);
    let settled = limits.settle(attempt, &charges, Checked::Right);
    settled.await.unwrap();
    limits.clear(Entity::Address(1)).await.unwrap();
    limits.prune(1, seconds(10)).await.unwrap();
    audit.append(&[]).await.unwrap();
    let event = AuditEvent::new(Kind::SessionRevoke, Timestamp::default(), PENDING);
    audit.announce(&event).await.unwrap();
    audit.search(&AuditFilter::default(), 1).await.unwrap();
    audit.prune(Timestamp::default(), 1).await.unwrap();
}

async fn each_of_services(stores: &Stores) {
    let Stores {
        services,
        tokens,
        quotas,
        ..
    } = stores;
    let service = services.register(new_service("orders"), 1).await.unwrap();
    let id = &service.id;
    services.find(id).await.unwrap();
    services.all().await.unwrap();
    services.revision().await.unwrap();
    let nothing = ServiceChange::default();
    services.change(id, nothing).await.unwrap();
    let secret = new_service("orders").secret;
    services
        .rotate(id, secret, None, seconds(1), false)
        .await
        .unwrap();
    services.seen(id, SignOfLife::Heartbeat).await.unwrap();
    quotas
        .charge(service.registration, &service.limits)
        .await
        .unwrap();
    quotas.forget(service.registration).await.unwrap();
    services.delete(id).await.unwrap();
    let soon = Timestamp::from_millis(i64::MAX);
    tokens.add_key(new_key("one"), None).await.unwrap();
    tokens.keys().await.unwrap();
    tokens.revoke(Uuid::nil(), soon).await.unwrap();
    tokens.revocations(0).await.unwrap();
    tokens.use_assertion([0; 32], soon).await.unwrap();
    tokens.prune(1).await.unwrap();
}

#[tokio::test]
async fn a_registration_that_is_refused_is_no_error_of_the_store() {
    let watched = Watched::new().await;
    let services = &watched.stores.services;
    services.register(new_service("orders"), 1).await.unwrap();
    for refused in ["orders", "stock"] {
        services
            .register(new_service(refused), 1)
            .await
            .unwrap_err();
    }
    watched.stores.close().await;
    let failed = services.register(new_service("mail"), 9).await;
    assert!(matches!(failed, Err(RegisterError::Store(_))));
    let recorded = watched.recorded();
    assert_eq!(recorded["services register"], 3);
    assert_eq!(recorded["services register unavailable"], 1);
}

#[tokio::test]
async fn an_error_of_the_store_is_recorded_by_its_type_and_a_rule_is_none() {
    let watched = Watched::new().await;
    let accounts = &watched.stores.accounts;
    let root = accounts
        .add(new_account("root", Role::Superuser))
        .await
        .unwrap();
    accounts
        .add(new_account("root", Role::User))
        .await
        .unwrap_err();
    accounts.delete(root.id).await.unwrap_err();
    watched.stores.close().await;
    accounts.delete(root.id).await.unwrap_err();
    let expected = once(&[
        "accounts add",
        "accounts add conflict",
        "accounts delete",
        "accounts delete unavailable",
    ]);
    assert_eq!(watched.recorded(), expected);
}

#[tokio::test]
async fn what_is_answered_from_memory_is_no_operation_of_the_store() {
    let watched = Watched::new().await;
    let sessions = &watched.stores.sessions;
    let new = new_session(UserId::generate(), Role::User);
    let (session, _) = sessions.create(new, 1).await.unwrap();
    for _ in 0..10 {
        assert!(sessions.load(&session.id).await.unwrap().is_some());
    }
    assert_eq!(watched.recorded()["sessions load"], 1);
}
