//! The context of commands on accounts, sessions and services: the same stores and rules as the server's.

use std::{future::Future, os::unix::fs::MetadataExt, path, sync::Arc, time::Duration};

use anyhow::Context;
use tokio::{runtime::Handle, task::JoinHandle};

use super::{Source, output};
use crate::{
    account_lifecycle::AccountLifecycle,
    accounts::{
        AccountError, User, Username,
        metrics::PasswordMetrics,
        password::Passwords,
        registration::{RegisterError, Registrar},
    },
    app::session_location,
    audit::{
        self, Action, Actor, AdminAudit, AuditMetrics, AuditRepository, AuditTrail, Kind, SUCCESS,
    },
    clock::{Clock, SystemClock, Timestamp},
    config::Config,
    error::StoreError,
    services::{AuthMetrics, HealthPolicy, KeyRotator, Registry, RegistryError, ServiceCache},
    sessions::{SessionMetrics, Sessions, census::CensusBell},
    store::{self, OpenError, Stores, TakeOver},
    telemetry::Telemetry,
};

/// The stores, opened while a server may be using them.
#[derive(Debug)]
pub(super) struct CommandContext {
    pub(super) stores: Stores,
    /// Operations on sessions. The server sees the changes in its stores.
    pub(super) sessions: Sessions,
    /// Changes and deletes accounts, and updates or ends their sessions.
    pub(super) lifecycle: AccountLifecycle,
    config: Config,
    telemetry: Telemetry,
    clock: Arc<dyn Clock>,
    journal: Journal,
}

/// Records the actions of commands in the audit trail.
#[derive(Debug)]
pub(super) struct Journal {
    audit: AdminAudit,
    writer: JoinHandle<()>,
    time_limit: Duration,
}

/// An accounts database that the keys in Redis will be assigned to.
#[derive(Debug)]
pub(super) struct Claim {
    /// Records the assignment.
    pub(super) journal: Journal,
    keys: TakeOver,
    config: Config,
    clock: Arc<dyn Clock>,
}

impl CommandContext {
    /// Opens the configured stores. They must exist: with a mistyped `data_dir` every result would be wrong.
    pub(super) async fn open(source: &Source) -> anyhow::Result<Self> {
        let config = source.load()?;
        config.store().find()?;
        Self::over(config).await
    }

    /// Like `open`, but creates missing stores and prints a note, because they may be missing due to a wrong
    /// directory.
    pub(super) async fn open_or_make(source: &Source) -> anyhow::Result<Self> {
        let config = source.load()?;
        let missing = match config.store().find() {
            Err(OpenError::Missing { path }) => Some(path),
            _ => None,
        };
        let context = Self::over(config).await?;
        if let Some(path) = missing {
            let path = path::absolute(&path).unwrap_or(path);
            output::note(&format!("created a new store at {}", path.display()));
        }
        Ok(context)
    }

    async fn over(config: Config) -> anyhow::Result<Self> {
        if let Some(doubt) = session_location::compare(&config)? {
            output::warn(&doubt);
        }
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let stores = store::open(&config.store(), Arc::clone(&clock), None).await?;
        Ok(Self::with(config, stores, clock))
    }

    fn with(config: Config, stores: Stores, clock: Arc<dyn Clock>) -> Self {
        // The server counts changes to its sessions from its stores; a command has no telemetry.
        let telemetry = Telemetry::disabled();
        let metrics = SessionMetrics::new(&telemetry.meter());
        let sessions = Sessions::new(
            Arc::clone(&stores.sessions),
            metrics,
            Arc::clone(&clock),
            (&config).into(),
            CensusBell::default(),
            Handle::current(),
        );
        let lifecycle = AccountLifecycle::new(
            Arc::clone(&stores.accounts),
            sessions.clone(),
            Handle::current(),
        );
        let journal = Journal::open(&stores.audit, &clock, config.store_timeout);
        Self {
            stores,
            sessions,
            lifecycle,
            config,
            telemetry,
            clock,
            journal,
        }
    }

    /// Runs `work` as an administrative action of this kind, which is recorded in the audit trail whether it succeeds
    /// or not; `about` describes its target as far as it is known before.
    pub(super) async fn audited<T>(
        &self,
        kind: Kind,
        about: impl FnOnce(&Action),
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        self.journal.audited(kind, about, work).await
    }

    /// Writes the remaining audit events and closes the stores. Takes at most two store timeouts.
    pub(super) async fn close(self) {
        self.journal.close().await;
        self.stores.close().await;
    }

    /// Returns what creates accounts and sets passwords. Takes the time of one password hash.
    pub(super) fn registrar(&self) -> anyhow::Result<Registrar> {
        let metrics = PasswordMetrics::new(&self.telemetry.meter());
        let passwords = Passwords::new(&self.config.argon2, metrics)?;
        Ok(Registrar::new(Arc::clone(&self.stores.accounts), passwords))
    }

    /// Returns what registers and changes services.
    pub(super) fn registry(&self) -> Registry {
        let metrics = self.auth_metrics();
        Registry::new(
            Arc::clone(&self.stores.services),
            Arc::clone(&self.stores.quotas),
            self.service_cache(&metrics),
            metrics,
            Arc::new(self.config.services.clone()),
            Arc::clone(&self.clock),
        )
    }

    /// Returns what creates signing keys.
    pub(super) fn key_rotator(&self) -> KeyRotator {
        KeyRotator::new(
            Arc::clone(&self.stores.tokens),
            self.service_cache(&self.auth_metrics()),
            Arc::new(self.config.services.clone()),
            Arc::clone(&self.clock),
        )
    }

    fn auth_metrics(&self) -> AuthMetrics {
        AuthMetrics::new(&self.telemetry.meter(), &[], Arc::clone(&self.clock))
    }

    /// Returns a cache that is never queried here: the server's own cache sees the changes in its stores.
    fn service_cache(&self, metrics: &AuthMetrics) -> ServiceCache {
        ServiceCache::new(
            Arc::clone(&self.stores.services),
            Arc::clone(&self.stores.tokens),
            metrics.clone(),
            Arc::clone(&self.clock),
        )
    }

    /// Returns the idle times that determine the health of services.
    pub(super) fn health_policy(&self) -> HealthPolicy {
        HealthPolicy {
            degraded_after: self.config.services.degraded_after,
            stale_after: self.config.services.stale_after,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns the account with this name.
    pub(super) async fn user(&self, name: &Username) -> anyhow::Result<User> {
        let account = self.stores.accounts.find_by_username(name).await?;
        let account = account.ok_or_else(|| Refused::no_such_user(name))?;
        // If the command is rejected after this point, it is still recorded with the account.
        if let Some(action) = audit::under_way() {
            action.set_user(account.user.id);
        }
        Ok(account.user)
    }
}

impl Journal {
    fn open(
        trail: &Arc<dyn AuditRepository>,
        clock: &Arc<dyn Clock>,
        time_limit: Duration,
    ) -> Self {
        let metrics = AuditMetrics::new(&Telemetry::disabled().meter());
        let (queue, writer) = AuditTrail::new(Arc::clone(trail), metrics);
        Self {
            audit: AdminAudit::new(queue, Arc::clone(trail), Arc::clone(clock)),
            writer: tokio::spawn(writer.run()),
            time_limit,
        }
    }

    /// See [`CommandContext::audited`].
    pub(super) async fn audited<T>(
        &self,
        kind: Kind,
        about: impl FnOnce(&Action),
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let uid = std::fs::metadata("/proc/self").ok().map(|it| it.uid());
        let actor = Actor::CommandLine { uid };
        let recording = self.audit.begin(kind, Some(actor), None);
        about(recording.action());
        let result = recording.during(work).await;
        recording.finish(result.as_ref().err().map_or(SUCCESS, reason));
        result
    }

    async fn close(self) {
        // The writer ends once no more events can be recorded.
        drop(self.audit);
        let written = tokio::time::timeout(self.time_limit, self.writer).await;
        if written.is_err() {
            output::warn("the audit trail could not be written; the store does not respond");
        }
    }
}

impl Claim {
    /// Opens the configured accounts database. It must exist. Redis is not changed.
    pub(super) async fn open(source: &Source) -> anyhow::Result<Self> {
        let config = source.load()?;
        config.store().find()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let keys = TakeOver::open(&config.store(), Arc::clone(&clock)).await?;
        let keys = keys.context(
            "redis_url is not set, so sessions are in the accounts database and belong to it; \
             `skriptoteket session revoke --all` ends them",
        )?;
        Ok(Self {
            journal: Journal::open(&keys.audit, &clock, config.store_timeout),
            keys,
            config,
            clock,
        })
    }

    /// Assigns the keys in Redis to this accounts database.
    pub(super) async fn take(&self) -> anyhow::Result<CommandContext> {
        let stores = self.keys.take().await?;
        Ok(CommandContext::with(
            self.config.clone(),
            stores,
            Arc::clone(&self.clock),
        ))
    }

    /// Writes the remaining audit events and closes the database. Takes at most two store timeouts.
    pub(super) async fn close(self) {
        self.journal.close().await;
        self.keys.close().await;
    }
}

/// A command is rejected for a reason that the audit trail records.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct Refused {
    /// What is wrong, and how to correct it.
    pub(super) text: String,
    /// The outcome in the audit trail.
    pub(super) reason: &'static str,
}

impl Refused {
    /// Creates the error for a missing account.
    pub(super) fn no_such_user(name: &Username) -> Self {
        Self {
            text: format!("there is no user {name}; `skriptoteket user list` shows all users"),
            reason: "not_found",
        }
    }
}

/// Returns the outcome in the audit trail of a command that failed with this error.
fn reason(error: &anyhow::Error) -> &'static str {
    let mut causes = error.chain();
    let known = causes.find_map(|cause| {
        if let Some(error) = cause.downcast_ref::<RegisterError>() {
            Some(error.reason())
        } else if let Some(error) = cause.downcast_ref::<AccountError>() {
            Some(error.reason())
        } else if let Some(error) = cause.downcast_ref::<RegistryError>() {
            Some(error.reason())
        } else if let Some(error) = cause.downcast_ref::<StoreError>() {
            Some(error.reason())
        } else if let Some(OpenError::InUse) = cause.downcast_ref() {
            Some("conflict")
        } else {
            cause.downcast_ref::<Refused>().map(|error| error.reason)
        }
    });
    known.unwrap_or("invalid_request")
}
