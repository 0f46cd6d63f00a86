//! Wires what sessions need: the service, the observer, the census, the reaper and the life cycle of accounts.

use std::{fmt, sync::Arc};

use opentelemetry::metrics::Meter;
use skriptoteket_core::{clock::Clock, observer_state::ObserverState};
use skriptoteket_login::{account_lifecycle::AccountLifecycle, accounts::AccountRepository};
use skriptoteket_sessions::{
    LedgerRepository, ObserverLease, SessionGauges, SessionMetrics, SessionPolicy,
    SessionRepository, Sessions,
    census::{CensusPace, CensusTaker},
    reaper::Reaper,
};
use tokio::{runtime::Handle, task::JoinHandle};
use uuid::Uuid;

use super::supervision::keep_running;

/// The stores behind sessions and accounts.
#[derive(Clone, Debug)]
pub struct SessionStores {
    /// The accounts.
    pub accounts: Arc<dyn AccountRepository>,
    /// The sessions.
    pub sessions: Arc<dyn SessionRepository>,
    /// The exported totals of sessions.
    pub ledger: Arc<dyn LedgerRepository>,
    /// Which replica exports the counts of sessions.
    pub observer: Arc<dyn ObserverLease>,
}

/// How sessions live and are counted.
#[derive(Clone, Copy, Debug)]
pub struct SessionSettings {
    /// Lifetimes, and the number of sessions per user.
    pub policy: SessionPolicy,
    /// How often sessions are counted.
    pub pace: CensusPace,
    /// The instance ID that all replicas share; see [`of_the_service`](super::instance_id::of_the_service).
    pub instance: Uuid,
}

/// The meters of the session gauges.
#[derive(Clone)]
pub struct SessionMeters {
    /// Meters for what every replica exports: one per reader.
    pub own: Vec<Meter>,
    /// Meters for what only the observer exports: one per reader.
    pub service_wide: Vec<Meter>,
}

impl fmt::Debug for SessionMeters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionMeters")
    }
}

/// All parts that handle sessions.
#[derive(Debug)]
pub struct SessionServices {
    /// Which replica exports service-wide metrics, and whether the store answers.
    pub observer: ObserverState,
    /// Counts sessions.
    pub census: Arc<CensusTaker>,
    /// Starts, checks, changes and ends sessions.
    pub sessions: Sessions,
    /// Ends expired sessions.
    pub reaper: Arc<Reaper>,
    /// Applies changes of accounts to sessions.
    pub lifecycle: AccountLifecycle,
}

impl SessionServices {
    /// Wires the parts over these stores, on the current tokio runtime. Nothing runs yet.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[must_use]
    pub fn new(
        stores: &SessionStores,
        settings: &SessionSettings,
        meters: &SessionMeters,
        metrics: SessionMetrics,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        let observer = ObserverState::new(Arc::clone(clock));
        let gauges = SessionGauges::new(&meters.own, &meters.service_wide, observer.clone());
        let census = CensusTaker::new(
            Arc::clone(&stores.sessions),
            Arc::clone(&stores.ledger),
            Arc::clone(&stores.observer),
            settings.instance,
            gauges,
            Arc::clone(clock),
            settings.pace,
        );
        let sessions = Sessions::new(
            Arc::clone(&stores.sessions),
            metrics.clone(),
            Arc::clone(clock),
            settings.policy,
            census.bell(),
            Handle::current(),
        );
        let reaper = Reaper::new(
            Arc::clone(&stores.sessions),
            sessions.clone(),
            metrics,
            observer.clone(),
            census.bell(),
        );
        let lifecycle = AccountLifecycle::new(
            Arc::clone(&stores.accounts),
            sessions.clone(),
            Handle::current(),
        );
        Self {
            observer,
            census: Arc::new(census),
            sessions,
            reaper: Arc::new(reaper),
            lifecycle,
        }
    }

    /// Starts the background tasks: census, reaper, account settlement. They run until they are aborted; one that ends
    /// or panics is restarted.
    #[must_use]
    pub fn start(&self) -> Vec<JoinHandle<()>> {
        let (census, reaper) = (Arc::clone(&self.census), Arc::clone(&self.reaper));
        let (observer, lifecycle) = (self.observer.clone(), self.lifecycle.clone());
        let count = move || {
            let census = Arc::clone(&census);
            async move { census.run().await }
        };
        let reap = move || {
            let reaper = Arc::clone(&reaper);
            async move { reaper.run().await }
        };
        let settle = move || {
            let lifecycle = lifecycle.clone();
            async move { lifecycle.run().await }
        };
        vec![
            // Without the census, nothing would remove a stale gauge.
            keep_running("census", count, move || observer.count_unanswered()),
            keep_running("reaper", reap, || {}),
            keep_running("account settlement", settle, || {}),
        ]
    }
}
