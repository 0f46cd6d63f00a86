//! Gauges and totals of sessions, read from the last count in memory, and the duration of sessions.
//!
//! The callbacks run on an exporter's thread, or on the worker that serves `/metrics`. They read memory only.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use opentelemetry::{
    KeyValue,
    metrics::{Histogram, Meter},
};

use super::{END_REASONS, ROLES, guarded::guarded};
use crate::observer_state::{ObserverState, Term};

/// What the store counted at one moment. Arrays are indexed like [`ROLES`] and [`END_REASONS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Live sessions by role.
    pub sessions: [u64; 4],
    /// Distinct users with a live session, by role.
    pub users: [u64; 4],
    /// Sessions ever started, by role.
    pub started: [u64; 4],
    /// Sessions ever ended, by role and reason.
    pub ended: [[u64; 7]; 4],
}

/// A count, and what is needed to tell whether it may still be exported.
#[derive(Clone, Copy, Debug)]
struct Counted {
    snapshot: Snapshot,
    asked_at: Duration,
    term: Term,
}

/// Exports the last count of sessions, while [`ObserverState`] says that this replica does. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SessionGauges {
    last: Arc<RwLock<Option<Counted>>>,
    observer: ObserverState,
}

impl SessionGauges {
    /// Registers what every replica exports on each of `observed`, and what one of them exports on each of `service_wide`.
    ///
    /// Until the first [`SessionGauges::publish`] the gauges are absent, and until the store's first answer `census_up` is 0.
    #[must_use]
    pub fn new(observed: &[Meter], service_wide: &[Meter], observer: ObserverState) -> Self {
        let gauges = Self {
            last: Arc::default(),
            observer,
        };
        for meter in observed {
            gauges.register_own(meter);
        }
        for meter in service_wide {
            gauges.register_service_wide(meter);
        }
        gauges
    }

    /// What decides whether this replica exports them.
    #[must_use]
    pub const fn observer(&self) -> &ObserverState {
        &self.observer
    }

    /// Replaces the count. `asked_at` is the monotonic time at which it was asked for; one that was asked for before this replica
    /// began to observe is dropped.
    pub fn publish(&self, snapshot: Snapshot, asked_at: Duration) {
        // Held meanwhile: of two counts the one that is answered last is kept.
        let mut last = self.last.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(term) = self.observer.count_answered(asked_at) {
            *last = Some(Counted {
                snapshot,
                asked_at,
                term,
            });
        }
    }

    /// The count, if it is exported now.
    #[must_use]
    pub fn current(&self) -> Option<Snapshot> {
        let counted = self.last()?;
        let is_fresh = self.observer.is_fresh(counted.term, counted.asked_at);
        is_fresh.then_some(counted.snapshot)
    }

    /// The last count, if it is this replica that observes; also while the store does not answer.
    fn totals(&self) -> Option<Snapshot> {
        let counted = self.last()?;
        let is_current = self.observer.is_current(counted.term);
        is_current.then_some(counted.snapshot)
    }

    fn last(&self) -> Option<Counted> {
        *self.last.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn register_service_wide(&self, meter: &Meter) {
        let this = self.clone();
        meter
            .u64_observable_gauge("skriptoteket.active_sessions")
            .with_unit("{session}")
            .with_description("Live sessions")
            .with_callback(guarded(move |observer| {
                if let Some(snapshot) = this.current() {
                    observer.observe(snapshot.sessions.iter().sum(), &[]);
                }
            }))
            .build();
        self.register_by_role(
            meter,
            (
                "skriptoteket.sessions_by_role",
                "{session}",
                "Live sessions by role",
            ),
            |snapshot| snapshot.sessions,
        );
        self.register_by_role(
            meter,
            (
                "skriptoteket.users_by_role",
                "{user}",
                "Distinct users with a live session, by role",
            ),
            |snapshot| snapshot.users,
        );
        self.register_totals(meter);
    }

    fn register_by_role(
        &self,
        meter: &Meter,
        (name, unit, description): (&'static str, &'static str, &'static str),
        values: fn(&Snapshot) -> [u64; 4],
    ) {
        let this = self.clone();
        meter
            .u64_observable_gauge(name)
            .with_unit(unit)
            .with_description(description)
            .with_callback(guarded(move |observer| {
                if let Some(snapshot) = this.current() {
                    for (role, n) in ROLES.iter().zip(values(&snapshot)) {
                        observer.observe(n, &[KeyValue::new("role", *role)]);
                    }
                }
            }))
            .build();
    }

    /// Totals stay as they were last read while the store does not answer: a counter is what is known to have
    /// happened, not what is so now. Before the first answer they are absent, because a 0 followed by the store's
    /// total would look like that many events.
    fn register_totals(&self, meter: &Meter) {
        let this = self.clone();
        meter
            .u64_observable_counter("skriptoteket.sessions_started")
            .with_unit("{session}")
            .with_description("Sessions started, from the store's own totals")
            .with_callback(guarded(move |observer| {
                let Some(totals) = this.totals() else {
                    return;
                };
                for (role, n) in ROLES.iter().zip(totals.started) {
                    observer.observe(n, &[KeyValue::new("role", *role)]);
                }
            }))
            .build();
        let this = self.clone();
        meter
            .u64_observable_counter("skriptoteket.sessions_ended")
            .with_unit("{session}")
            .with_description("Sessions ended, by reason, from the store's own totals")
            .with_callback(guarded(move |observer| {
                let Some(totals) = this.totals() else {
                    return;
                };
                for (role, ended) in ROLES.iter().zip(totals.ended) {
                    for (reason, n) in END_REASONS.iter().zip(ended) {
                        let labels = [
                            KeyValue::new("role", *role),
                            KeyValue::new("reason", *reason),
                        ];
                        observer.observe(n, &labels);
                    }
                }
            }))
            .build();
    }

    fn register_age(&self, meter: &Meter) {
        let this = self.clone();
        meter
            .f64_observable_gauge("skriptoteket.session_census_age")
            .with_unit("s")
            .with_description(
                "Time since the store last answered this replica: a count if it observes, else who does",
            )
            .with_callback(guarded(move |observer| {
                if let Some(age) = this.observer.answer_age() {
                    observer.observe(age.as_secs_f64(), &[]);
                }
            }))
            .build();
    }

    /// What every replica says of itself.
    fn register_own(&self, meter: &Meter) {
        self.register_age(meter);
        let this = self.clone();
        meter
            .u64_observable_gauge("skriptoteket.session_census_up")
            .with_unit("{census}")
            .with_description(
                "1 while the session store answers this replica, so that the session gauges can be believed; else 0",
            )
            .with_callback(guarded(move |observer| {
                if let Some(up) = this.observer.is_store_up() {
                    observer.observe(u64::from(up), &[]);
                }
            }))
            .build();
        let this = self.clone();
        meter
            .u64_observable_gauge("skriptoteket.session_observer")
            .with_unit("{observer}")
            .with_description("1 on the replica that exports what is service-wide, 0 on the others")
            .with_callback(guarded(move |observer| {
                observer.observe(u64::from(this.observer.observes()), &[]);
            }))
            .build();
        let this = self.clone();
        meter
            .u64_observable_gauge("skriptoteket.session_observer_epoch")
            .with_unit("{epoch}")
            .with_description("How often another replica has taken over, as this one last heard")
            .with_callback(guarded(move |observer| {
                if let Some(epoch) = this.observer.epoch() {
                    observer.observe(epoch, &[]);
                }
            }))
            .build();
    }
}

/// Records how long sessions last. Cheap to clone.
#[derive(Clone)]
pub struct SessionMetrics {
    duration: Histogram<f64>,
}

impl fmt::Debug for SessionMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionMetrics")
    }
}

impl SessionMetrics {
    /// Builds the histogram.
    #[must_use]
    pub fn new(meter: &Meter) -> Self {
        let minute = 60.0;
        let hour = 60.0 * minute;
        let duration = meter
            .f64_histogram("skriptoteket.session_duration")
            .with_unit("s")
            .with_description("How long a session lasted, from its start to its end")
            .with_boundaries(vec![
                1.0,
                10.0,
                minute,
                5.0 * minute,
                15.0 * minute,
                30.0 * minute,
                hour,
                2.0 * hour,
                4.0 * hour,
                8.0 * hour,
                12.0 * hour,
                24.0 * hour,
                7.0 * 24.0 * hour,
                30.0 * 24.0 * hour,
            ])
            .build();
        Self { duration }
    }

    /// Records the duration of a session that has ended; `reason` is one of [`END_REASONS`].
    pub fn session_ended(&self, reason: &'static str, lasted: Duration) {
        self.duration
            .record(lasted.as_secs_f64(), &[KeyValue::new("reason", reason)]);
    }
}
