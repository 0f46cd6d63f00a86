//! Gauges and totals of sessions, read from the last count in memory.
//!
//! The callbacks run on an exporter's thread, or on the worker that serves `/metrics`. They read memory only.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use opentelemetry::metrics::Meter;

use super::{
    Census, EndReason,
    metrics::{
        ACTIVE_SESSIONS, SESSION_CENSUS_AGE, SESSION_CENSUS_UP, SESSION_OBSERVER,
        SESSION_OBSERVER_EPOCH, SESSIONS_BY_ROLE, SESSIONS_ENDED, SESSIONS_STARTED, USERS_BY_ROLE,
    },
};
use skriptoteket_core::{
    metric::{Label, Metric},
    observer_state::{ObserverState, Term},
    user::Role,
};

/// A count, and the data to decide whether it may still be exported.
#[derive(Clone, Copy, Debug)]
struct Counted {
    census: Census,
    asked_at: Duration,
    term: Term,
}

/// Exports the last count of sessions, while [`ObserverState`] says that this replica is the observer. Cheap to
/// clone.
#[derive(Clone, Debug)]
pub struct SessionGauges {
    last: Arc<RwLock<Option<Counted>>>,
    observer: ObserverState,
}

impl SessionGauges {
    /// Registers what every replica exports on each of `gauge_meters`, and what only the observer exports on each of
    /// `service_wide`.
    ///
    /// Until the first [`SessionGauges::publish`] the gauges are absent, and until the first response of the store
    /// `census_up` is 0.
    #[must_use]
    pub fn new(gauge_meters: &[Meter], service_wide: &[Meter], observer: ObserverState) -> Self {
        let gauges = Self {
            last: Arc::default(),
            observer,
        };
        for meter in gauge_meters {
            gauges.register_own(meter);
        }
        for meter in service_wide {
            gauges.register_service_wide(meter);
        }
        gauges
    }

    /// Returns the state that decides whether this replica exports the count.
    #[must_use]
    pub const fn observer(&self) -> &ObserverState {
        &self.observer
    }

    /// Replaces the count. `asked_at` is the monotonic time at which it was requested; a count that was requested
    /// before this replica became the observer is dropped.
    pub fn publish(&self, census: Census, asked_at: Duration) {
        // Held meanwhile: of two counts, the one that completes last is kept.
        let mut last = self.last.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(term) = self.observer.count_answered(asked_at) {
            *last = Some(Counted {
                census,
                asked_at,
                term,
            });
        }
    }

    /// Returns the count if it is exported now.
    #[must_use]
    pub fn current(&self) -> Option<Census> {
        let counted = self.last()?;
        let is_fresh = self.observer.is_fresh(counted.term, counted.asked_at);
        is_fresh.then_some(counted.census)
    }

    /// Returns the last count if this replica is the observer, even while the store does not respond.
    fn totals(&self) -> Option<Census> {
        let counted = self.last()?;
        let is_current = self.observer.is_current(counted.term);
        is_current.then_some(counted.census)
    }

    fn last(&self) -> Option<Counted> {
        *self.last.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn register_service_wide(&self, meter: &Meter) {
        let this = self.clone();
        ACTIVE_SESSIONS.observable_gauge(meter, move |observer| {
            if let Some(census) = this.current() {
                observer.observe(census.sessions.iter().sum(), &[]);
            }
        });
        self.register_by_role(meter, &SESSIONS_BY_ROLE, |census| census.sessions);
        self.register_by_role(meter, &USERS_BY_ROLE, |census| census.users);
        self.register_totals(meter);
    }

    fn register_by_role(&self, meter: &Meter, metric: &Metric, values: fn(&Census) -> [u64; 4]) {
        let this = self.clone();
        metric.observable_gauge(meter, move |observer| {
            if let Some(census) = this.current() {
                for (role, n) in Role::ALL.into_iter().zip(values(&census)) {
                    observer.observe(n, &[role.key_value()]);
                }
            }
        });
    }

    /// Totals keep their last values while the store does not respond: a counter is what is known to have happened,
    /// not the current state. Before the first response they are absent, because a 0 followed by the store's total
    /// would look like that many events.
    fn register_totals(&self, meter: &Meter) {
        let this = self.clone();
        SESSIONS_STARTED.observable_counter(meter, move |observer| {
            let Some(census) = this.totals() else {
                return;
            };
            for (role, n) in Role::ALL.into_iter().zip(census.totals.started) {
                observer.observe(n, &[role.key_value()]);
            }
        });
        let this = self.clone();
        SESSIONS_ENDED.observable_counter(meter, move |observer| {
            let Some(census) = this.totals() else {
                return;
            };
            for (role, ended) in Role::ALL.into_iter().zip(census.totals.ended) {
                for (reason, n) in EndReason::ALL.into_iter().zip(ended) {
                    observer.observe(n, &[role.key_value(), reason.key_value()]);
                }
            }
        });
    }

    /// Registers what every replica exports about itself.
    fn register_own(&self, meter: &Meter) {
        let observer_state = self.observer.clone();
        SESSION_CENSUS_AGE.observable_gauge_f64(meter, move |observer| {
            if let Some(age) = observer_state.answer_age() {
                observer.observe(age.as_secs_f64(), &[]);
            }
        });
        let observer_state = self.observer.clone();
        SESSION_CENSUS_UP.observable_gauge(meter, move |observer| {
            if let Some(up) = observer_state.is_store_up() {
                observer.observe(u64::from(up), &[]);
            }
        });
        let observer_state = self.observer.clone();
        SESSION_OBSERVER.observable_gauge(meter, move |observer| {
            observer.observe(u64::from(observer_state.observes()), &[]);
        });
        let observer_state = self.observer.clone();
        SESSION_OBSERVER_EPOCH.observable_gauge(meter, move |observer| {
            if let Some(epoch) = observer_state.epoch() {
                observer.observe(epoch, &[]);
            }
        });
    }
}
