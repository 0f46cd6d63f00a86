//! What commands on accounts, sessions and services work with: the same stores and rules as the server's.

use std::{path, sync::Arc};

use anyhow::Context;
use tokio::runtime::Handle;

use super::{Source, output};
use crate::{
    accounts::{User, Username, password::Passwords, registration::Registrar},
    app::place,
    clock::{Clock, SystemClock, Timestamp},
    config::Config,
    services::{Directory, HealthPolicy, KeyKeeper, Registry},
    sessions::{Sessions, census::CensusBell},
    store::{self, OpenError, Stores},
    telemetry::{
        Telemetry,
        instruments::{AuthMetrics, PasswordMetrics, Presence},
    },
};

/// The stores, opened beside a server that may be running on them.
#[derive(Debug)]
pub(super) struct Desk {
    /// The repositories.
    pub(super) stores: Stores,
    /// What happens to sessions; what is done here the server sees in its stores.
    pub(super) sessions: Sessions,
    config: Config,
    telemetry: Telemetry,
    clock: Arc<dyn Clock>,
}

impl Desk {
    /// Opens the stores that the configuration names. They must be there: in a `data_dir` that was mistyped every
    /// answer would be wrong.
    pub(super) async fn open(source: &Source) -> anyhow::Result<Self> {
        let config = source.load()?;
        store::find(&config)?;
        Self::over(config).await
    }

    /// The same, and makes them where there are none, which is said: in a wrong directory nobody wanted that.
    pub(super) async fn open_or_make(source: &Source) -> anyhow::Result<Self> {
        let config = source.load()?;
        let missing = match store::find(&config) {
            Err(OpenError::Missing { path }) => Some(path),
            _ => None,
        };
        let desk = Self::over(config).await?;
        if let Some(path) = missing {
            let path = path::absolute(&path).unwrap_or(path);
            output::note(&format!("made a new store at {}", path.display()));
        }
        Ok(desk)
    }

    async fn over(config: Config) -> anyhow::Result<Self> {
        if let Some(doubt) = place::compare(&config)? {
            output::warn(&doubt);
        }
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let stores = store::open(&config, Arc::clone(&clock), None).await?;
        // The server counts what happens to its sessions from its stores; a command has nobody to tell.
        let telemetry = Telemetry::disabled();
        let presence = Presence::new(&telemetry.meter(), &[], &[], Arc::clone(&clock));
        let sessions = Sessions::new(
            Arc::clone(&stores.sessions),
            Arc::clone(&stores.accounts),
            presence,
            Arc::clone(&clock),
            (&config).into(),
            CensusBell::default(),
            Handle::current(),
        );
        Ok(Self {
            stores,
            sessions,
            config,
            telemetry,
            clock,
        })
    }

    /// What makes accounts and sets passwords. Takes one password hash's time.
    pub(super) fn registrar(&self) -> anyhow::Result<Registrar> {
        let metrics = PasswordMetrics::new(&self.telemetry.meter());
        let passwords = Passwords::new(&(&self.config.argon2).into(), metrics)?;
        Ok(Registrar::new(Arc::clone(&self.stores.accounts), passwords))
    }

    /// What registers services and changes them.
    pub(super) fn registry(&self) -> Registry {
        let metrics = self.auth_metrics();
        Registry::new(
            Arc::clone(&self.stores.services),
            Arc::clone(&self.stores.quotas),
            self.directory(&metrics),
            metrics,
            Arc::new(self.config.services.clone()),
            Arc::clone(&self.clock),
        )
    }

    /// What makes signing keys.
    pub(super) fn keeper(&self) -> KeyKeeper {
        KeyKeeper::new(
            Arc::clone(&self.stores.tokens),
            self.directory(&self.auth_metrics()),
            Arc::new(self.config.services.clone()),
            Arc::clone(&self.clock),
        )
    }

    fn auth_metrics(&self) -> AuthMetrics {
        AuthMetrics::new(&self.telemetry.meter(), &[], Arc::clone(&self.clock))
    }

    /// One that nobody asks here: the server's own sees in its stores what was changed.
    fn directory(&self, metrics: &AuthMetrics) -> Directory {
        Directory::new(
            Arc::clone(&self.stores.services),
            Arc::clone(&self.stores.tokens),
            metrics.clone(),
            Arc::clone(&self.clock),
        )
    }

    /// After which silence a service is what.
    pub(super) fn health_policy(&self) -> HealthPolicy {
        HealthPolicy {
            degraded_after: self.config.services.degraded_after,
            stale_after: self.config.services.stale_after,
        }
    }

    /// The time.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The account of this name.
    pub(super) async fn user(&self, name: &Username) -> anyhow::Result<User> {
        let account = self.stores.accounts.find_by_username(name).await?;
        let account = account.with_context(|| no_such_user(name))?;
        Ok(account.user)
    }
}

/// What is said of a name that belongs to no account.
pub(super) fn no_such_user(name: &Username) -> String {
    format!("there is no user {name}; `skriptoteket user list` shows those there are")
}
