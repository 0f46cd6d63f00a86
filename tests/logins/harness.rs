//! A login service on the real embedded store, with a clock and metrics that the test controls.

use std::{net::IpAddr, sync::Arc, time::Duration};

use secrecy::SecretString;
use skriptoteket::{
    account_lifecycle::AccountLifecycle,
    accounts::{
        AccountChange, AccountRepository, Role, User,
        metrics::PasswordMetrics,
        password::{HashingPolicy, Passwords},
        registration::Registrar,
    },
    audit::{AuditFilter, AuditMetrics, AuditRow, AuditTrail},
    catalogue::CATALOGUE,
    clock::{Clock, ManualClock},
    error::StoreError,
    guard::{Budget, Entities, GuardPolicy},
    login::{
        Caller, Credentials, LoggedIn, LoginError, LoginParts, LoginService, PasswordChange,
        PasswordChangeError, metrics::LoginMetrics,
    },
    observer_state::ObserverState,
    sessions::{
        SessionGauges, SessionMetrics, SessionPolicy, SessionRecord, Sessions, Started,
        census::{CensusPace, CensusTaker},
        reaper::Reaper,
    },
    store::{SqliteSettings, Stores, open_sqlite},
    telemetry::{Telemetry, testing::CollectedMetrics},
};
use sqlx::{Connection, Executor, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use tokio::{runtime::Handle, task::JoinHandle};
use uuid::Uuid;

/// The password of all users.
pub(crate) const PASSWORD: &str = "tundra-lantern-quarry-41";

/// The new password in tests of password changes.
pub(crate) const NEW: &str = "seven purple teapots sing 19";

/// Disables an account.
pub(crate) const DISABLED: AccountChange = AccountChange {
    role: None,
    disabled: Some(true),
};

/// A budget that is small enough to exhaust.
const BUDGET: Budget = Budget {
    attempts: 5,
    refill: Duration::from_mins(5),
    lock: Duration::from_mins(1),
    longest_lock: Duration::from_mins(15),
    forget: Duration::from_hours(24),
};

/// The cheapest Argon2 parameters: the cost of hashes is not under test.
pub(crate) const CHEAP: HashingPolicy = HashingPolicy {
    memory_kib: 8,
    iterations: 1,
    parallelism: 1,
    threads: 2,
    queue: 600,
};

pub(crate) struct Harness {
    pub(crate) parts: LoginParts,
    pub(crate) login: LoginService,
    pub(crate) sessions: Sessions,
    pub(crate) census: CensusTaker,
    pub(crate) reaper: Reaper,
    pub(crate) lifecycle: AccountLifecycle,
    pub(crate) audit_metrics: AuditMetrics,
    pub(crate) registrar: Registrar,
    pub(crate) stores: Stores,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) metrics: CollectedMetrics,
    pub(crate) dir: TempDir,
    audit: JoinHandle<()>,
    _telemetry: Telemetry,
}

impl Harness {
    pub(crate) async fn new() -> Self {
        Self::with(CHEAP, |parts| parts).await
    }

    /// Creates a harness whose login service has other parts than the real ones.
    pub(crate) async fn with(
        hashing: HashingPolicy,
        change: impl FnOnce(LoginParts) -> LoginParts,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::default());
        let time: Arc<dyn Clock> = clock.clone();
        let settings = SqliteSettings {
            path: dir.path().join("harness.db"),
            // Long enough for hundreds of concurrent attempts on a busy machine.
            timeout: Duration::from_secs(30),
        };
        let stores = open_sqlite(&settings, time.clone(), None).await.unwrap();
        let (telemetry, metrics) = Telemetry::in_memory(CATALOGUE);
        let (meter, gauge_meters) = (telemetry.meter(), telemetry.observed_meters());
        let service_wide = telemetry.service_wide(Uuid::nil()).unwrap().meters();
        let observer = ObserverState::new(time.clone());
        let gauges = SessionGauges::new(&gauge_meters, &service_wide, observer.clone());
        let session_metrics = SessionMetrics::new(&meter);
        let login_metrics = LoginMetrics::new(&meter, time.clone());
        let passwords = Passwords::new(&hashing, PasswordMetrics::new(&meter)).unwrap();
        let census = CensusTaker::new(
            stores.sessions.clone(),
            stores.ledger.clone(),
            stores.observer.clone(),
            Uuid::nil(),
            gauges,
            time.clone(),
            CensusPace {
                interval: Duration::from_secs(5),
                timeout: Duration::from_secs(2),
            },
        );
        let policy = SessionPolicy {
            idle: Duration::from_mins(30),
            absolute: Duration::from_hours(12),
            remembered: Duration::from_hours(24 * 30),
            max_per_user: 10,
        };
        let sessions = Sessions::new(
            stores.sessions.clone(),
            session_metrics.clone(),
            time.clone(),
            policy,
            census.bell(),
            Handle::current(),
        );
        let reaper = Reaper::new(
            stores.sessions.clone(),
            sessions.clone(),
            session_metrics,
            observer,
            census.bell(),
        );
        let lifecycle =
            AccountLifecycle::new(stores.accounts.clone(), sessions.clone(), Handle::current());
        let audit_metrics = AuditMetrics::new(&meter);
        let (trail, writer) = AuditTrail::new(stores.audit.clone(), audit_metrics.clone());
        let parts = change(LoginParts {
            accounts: stores.accounts.clone(),
            limits: stores.limits.clone(),
            policy: GuardPolicy {
                account: BUDGET,
                address: Budget {
                    attempts: 20,
                    ..BUDGET
                },
            },
            entities: Entities::keyed(b"harness"),
            passwords: passwords.clone(),
            sessions: sessions.clone(),
            lifecycle: lifecycle.clone(),
            audit: trail,
            metrics: login_metrics,
            clock: time,
            runtime: Handle::current(),
        });
        Self {
            login: LoginService::new(parts.clone()),
            parts,
            sessions,
            census,
            reaper,
            lifecycle,
            audit_metrics,
            registrar: Registrar::new(stores.accounts.clone(), passwords),
            stores,
            clock,
            metrics,
            dir,
            audit: tokio::spawn(writer.run()),
            _telemetry: telemetry,
        }
    }

    /// Returns the login service of another process on the same stores.
    pub(crate) fn another_replica(&self) -> LoginService {
        LoginService::new(self.parts.clone())
    }

    /// Runs one interval of the server's background tasks.
    pub(crate) async fn tick(&self) -> Result<(), StoreError> {
        let settled = self.lifecycle.settle_pending().await;
        self.reaper.tick().await?;
        settled.map(drop)
    }

    pub(crate) async fn user(&self, name: &str, role: Role) -> User {
        self.registrar
            .register(name, role, PASSWORD.into())
            .await
            .unwrap()
    }

    pub(crate) async fn try_login(
        &self,
        name: &str,
        password: &str,
    ) -> Result<LoggedIn, LoginError> {
        self.login
            .login(credentials(name, password), caller("192.0.2.1"))
            .await
    }

    /// Tries to change the password in this session.
    pub(crate) async fn change_password(
        &self,
        session: &SessionRecord,
        current: &str,
    ) -> Result<Started, PasswordChangeError> {
        let change = PasswordChange {
            session: session.clone(),
            state: session.state.clone(),
            current: current.into(),
            new: NEW.into(),
        };
        self.login.change_password(change).await
    }

    pub(crate) fn logins(&self, status: &str) -> u64 {
        self.metrics
            .counter("skriptoteket.logins", &[("status", status)])
            .unwrap()
    }

    pub(crate) fn failures(&self, reason: &str) -> u64 {
        self.metrics
            .counter("skriptoteket.login_failures", &[("reason", reason)])
            .unwrap()
    }

    pub(crate) fn checks(&self) -> u64 {
        let of = |result| {
            self.metrics
                .counter("skriptoteket.password_checks", &[("result", result)])
                .unwrap()
        };
        of("match") + of("mismatch")
    }

    /// Opens the store's file in a separate connection.
    pub(crate) async fn file(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.dir.path().join("harness.db"));
        SqliteConnection::connect_with(&options).await.unwrap()
    }

    /// Takes SQLite's write lock from outside, as a backup tool or a hung process does.
    pub(crate) async fn write_lock(&self) -> SqliteConnection {
        let mut file = self.file().await;
        file.execute("BEGIN EXCLUSIVE").await.unwrap();
        file
    }

    /// Drops everything that may queue audit events, waits until the queued events are written, and returns the
    /// outcomes, each as often as the rows count it.
    pub(crate) async fn audited_outcomes(self) -> Vec<String> {
        let Self {
            parts,
            login,
            stores,
            audit,
            dir,
            ..
        } = self;
        drop((parts, login));
        audit.await.unwrap();
        let rows = stores.audit.search(&AuditFilter::default(), 10_000).await;
        drop(dir);
        let times = |row: AuditRow| {
            let count = usize::try_from(row.count).unwrap();
            std::iter::repeat_n(row.outcome, count)
        };
        rows.unwrap().into_iter().flat_map(times).collect()
    }
}

pub(crate) fn credentials(name: &str, password: &str) -> Credentials {
    Credentials {
        username: name.into(),
        password: SecretString::from(password),
        remember_me: false,
    }
}

pub(crate) fn caller(address: &str) -> Caller {
    Caller {
        address: address.parse::<IpAddr>().unwrap(),
        cross_site: false,
        user_agent: "test".into(),
        session: None,
    }
}

/// Returns the account as the store has it now.
pub(crate) async fn account(accounts: &Arc<dyn AccountRepository>, user: &User) -> User {
    accounts.find(user.id).await.unwrap().unwrap().user
}
