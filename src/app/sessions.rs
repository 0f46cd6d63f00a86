//! Wires what sessions need: the service, the observer, the census, the reaper and the life cycle of accounts.

use std::sync::Arc;

use tokio::runtime::Handle;
use uuid::Uuid;

use crate::{
    account_lifecycle::AccountLifecycle,
    clock::Clock,
    config::Config,
    observer_state::ObserverState,
    sessions::{
        SessionGauges, SessionMetrics, Sessions,
        census::{CensusPace, CensusTaker},
        reaper::Reaper,
    },
    store::Stores,
    telemetry::{ServiceWide, Telemetry},
};

/// All parts that handle sessions.
pub(super) struct SessionServices {
    pub(super) observer: ObserverState,
    pub(super) census: CensusTaker,
    pub(super) sessions: Sessions,
    pub(super) reaper: Reaper,
    pub(super) lifecycle: AccountLifecycle,
}

/// Wires the parts over these stores. `instance` is the instance ID that all replicas share.
pub(super) fn open(
    config: &Config,
    stores: &Stores,
    instance: Uuid,
    (telemetry, service_wide): (&Telemetry, &ServiceWide),
    metrics: SessionMetrics,
    clock: &Arc<dyn Clock>,
) -> SessionServices {
    let observer = ObserverState::new(Arc::clone(clock));
    let gauges = SessionGauges::new(
        &telemetry.observed_meters(),
        &service_wide.meters(),
        observer.clone(),
    );
    let pace = CensusPace {
        interval: config.census_interval,
        timeout: config.store_timeout,
    };
    let census = CensusTaker::new(
        Arc::clone(&stores.sessions),
        Arc::clone(&stores.ledger),
        Arc::clone(&stores.observer),
        instance,
        gauges,
        Arc::clone(clock),
        pace,
    );
    let sessions = Sessions::new(
        Arc::clone(&stores.sessions),
        metrics.clone(),
        Arc::clone(clock),
        config.into(),
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
    SessionServices {
        observer,
        census,
        sessions,
        reaper,
        lifecycle,
    }
}
