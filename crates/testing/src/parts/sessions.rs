//! Sessions, their census and their reaper.

use std::{sync::Arc, time::Duration};

use skriptoteket::{
    account_lifecycle::AccountLifecycle,
    clock::Clock,
    observer_state::ObserverState,
    sessions::{
        SessionGauges, SessionMetrics, SessionPolicy, Sessions,
        census::{CensusPace, CensusTaker},
        reaper::Reaper,
    },
    store::Stores,
    telemetry::Telemetry,
};
use tokio::runtime::Handle;
use uuid::Uuid;

/// The lifetimes of sessions.
pub const POLICY: SessionPolicy = SessionPolicy {
    idle: Duration::from_mins(30),
    absolute: Duration::from_hours(12),
    remembered: Duration::from_hours(24 * 30),
    max_per_user: 10,
};

/// The pace of the census. A test takes it when it is due.
const PACE: CensusPace = CensusPace {
    interval: Duration::from_secs(5),
    timeout: Duration::from_secs(2),
};

/// All parts that handle sessions.
#[derive(Debug)]
pub struct SessionServices {
    /// The sessions themselves.
    pub sessions: Sessions,
    /// Counts them, and exports the gauges.
    pub census: CensusTaker,
    /// Ends those that have expired.
    pub reaper: Reaper,
    /// Changes of accounts that have an effect on sessions.
    pub lifecycle: AccountLifecycle,
}

impl SessionServices {
    /// Wires the parts over these stores.
    pub fn new(stores: &Stores, telemetry: &Telemetry, clock: &Arc<dyn Clock>) -> Self {
        let metrics = SessionMetrics::new(&telemetry.meter());
        let observer = ObserverState::new(Arc::clone(clock));
        let census = taker(stores, telemetry, observer.clone(), clock, PACE);
        let sessions = Sessions::new(
            Arc::clone(&stores.sessions),
            metrics.clone(),
            Arc::clone(clock),
            POLICY,
            census.bell(),
            Handle::current(),
        );
        Self {
            reaper: Reaper::new(
                Arc::clone(&stores.sessions),
                sessions.clone(),
                metrics,
                observer,
                census.bell(),
            ),
            lifecycle: AccountLifecycle::new(
                Arc::clone(&stores.accounts),
                sessions.clone(),
                Handle::current(),
            ),
            sessions,
            census,
        }
    }
}

/// Returns the census of a replica that has only that.
pub fn census_taker(
    stores: &Stores,
    telemetry: &Telemetry,
    clock: &Arc<dyn Clock>,
    pace: CensusPace,
) -> CensusTaker {
    let observer = ObserverState::new(Arc::clone(clock));
    taker(stores, telemetry, observer, clock, pace)
}

fn taker(
    stores: &Stores,
    telemetry: &Telemetry,
    observer: ObserverState,
    clock: &Arc<dyn Clock>,
    pace: CensusPace,
) -> CensusTaker {
    let gauges = SessionGauges::new(
        &telemetry.observed_meters(),
        &telemetry.service_wide(Uuid::nil()).unwrap().meters(),
        observer,
    );
    CensusTaker::new(
        Arc::clone(&stores.sessions),
        Arc::clone(&stores.ledger),
        Arc::clone(&stores.observer),
        Uuid::nil(),
        gauges,
        Arc::clone(clock),
        pace,
    )
}
