//! A login service on the real embedded store, with a clock and metrics that the test controls.

use std::{net::IpAddr, path::PathBuf, sync::Arc};

use secrecy::SecretString;
use skriptoteket::{
    account_lifecycle::AccountLifecycle,
    accounts::{
        AccountChange, AccountRepository, Profile, Role, User, password::HashingPolicy,
        registration::Registrar,
    },
    audit::{AuditFilter, AuditMetrics, AuditRow},
    catalogue::CATALOGUE,
    clock::{Clock, ManualClock},
    error::StoreError,
    login::{
        Caller, Credentials, LoggedIn, LoginError, LoginParts, LoginService, PasswordChange,
        PasswordChangeError,
    },
    sessions::{SessionRecord, Sessions, Started, census::CensusTaker, reaper::Reaper},
    store::Stores,
    telemetry::{Telemetry, testing::CollectedMetrics},
};
use skriptoteket_testing::{
    parts::{CHEAP, LoginServices, SessionServices, budget},
    stores::{open_file, raw},
};
use sqlx::{Executor, SqliteConnection};
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// The password of all users.
pub(crate) const PASSWORD: &str = "tundra-lantern-quarry-41";

/// The new password in tests of password changes.
pub(crate) const NEW: &str = "seven purple teapots sing 19";

/// Disables an account.
pub(crate) const DISABLED: AccountChange = AccountChange {
    role: None,
    disabled: Some(true),
    display_name: None,
    email: None,
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
    dir: TempDir,
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
        let stores = open_file(&file_in(&dir), time.clone()).await;
        let (telemetry, metrics) = Telemetry::in_memory(CATALOGUE);
        let sessions = SessionServices::new(&stores, &telemetry, &time);
        // Small enough to use up.
        let budgets = [budget(5), budget(20)];
        let login = LoginServices::new(&stores, &telemetry, &time, &sessions, &hashing, budgets);
        let parts = change(login.parts);
        Self {
            login: LoginService::new(parts.clone()),
            parts,
            sessions: sessions.sessions,
            census: sessions.census,
            reaper: sessions.reaper,
            lifecycle: sessions.lifecycle,
            audit_metrics: login.audit_metrics,
            registrar: login.registrar,
            stores,
            clock,
            metrics,
            dir,
            audit: tokio::spawn(login.writer.run()),
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
            .register(name, role, Profile::default(), PASSWORD.into())
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

    /// Returns the path of the store's file.
    pub(crate) fn path(&self) -> PathBuf {
        file_in(&self.dir)
    }

    /// Opens the store's file in a separate connection.
    pub(crate) async fn file(&self) -> SqliteConnection {
        raw(&self.path()).await
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

fn file_in(dir: &TempDir) -> PathBuf {
    dir.path().join("harness.db")
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
