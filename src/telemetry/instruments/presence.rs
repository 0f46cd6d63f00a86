//! Who is here: gauges and totals of sessions, read from a snapshot in memory.
//!
//! The callbacks run on an exporter's thread, or on the worker that serves `/metrics`. They read memory and nothing
//! else, and a panic in one of them would silence all metrics for ever, so each runs inside `catch_unwind`.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, Histogram, Meter},
};

use super::{END_REASONS, ROLES};
use crate::clock::Clock;

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
    pub ended: [[u64; 6]; 4],
}

/// All times are monotonic.
#[derive(Debug, Default)]
struct State {
    /// The last count of this watch, and when it was asked for.
    last: Option<(Snapshot, Duration)>,
    /// False while the store does not answer.
    up: bool,
    /// A count that is older is believed no more, whoever should have withdrawn it. None: for ever.
    believed_for: Option<Duration>,
    /// Since when it is this replica that observes, and until when.
    watch: (Duration, Duration),
    /// Until when it is believed that another replica observes and the store answers.
    stands_by: Duration,
    /// What the lease said last.
    epoch: Option<u64>,
}

impl State {
    fn observes(&self, now: Duration) -> bool {
        now < self.watch.1
    }

    fn current(&self, now: Duration) -> Option<Snapshot> {
        let (snapshot, taken_at) = self.last.filter(|_| self.up && self.observes(now))?;
        let age = now.saturating_sub(taken_at);
        let fresh = self.believed_for.is_none_or(|limit| age <= limit);
        fresh.then_some(snapshot)
    }

    fn is_up(&self, now: Duration) -> bool {
        if self.observes(now) {
            self.current(now).is_some()
        } else {
            self.up && now < self.stands_by
        }
    }
}

/// Holds the snapshot and the instruments that read it.
#[derive(Clone)]
pub struct Presence {
    state: Arc<RwLock<State>>,
    duration: Histogram<f64>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Presence").field(&self.state).finish()
    }
}

impl Presence {
    /// Builds the histogram on `meter`, and registers what every replica observes on each of `observed` and what one of
    /// them does on each of `service_wide`.
    ///
    /// Until the first [`Presence::publish`] the gauges are absent and `census_up` is 0.
    #[must_use]
    pub fn new(
        meter: &Meter,
        observed: &[Meter],
        service_wide: &[Meter],
        clock: Arc<dyn Clock>,
    ) -> Self {
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
        let presence = Self {
            state: Arc::default(),
            duration,
            clock,
        };
        for meter in observed {
            presence.register_own(meter);
        }
        for meter in service_wide {
            presence.register_service_wide(meter);
        }
        presence
    }

    /// It is this replica that observes, from the moment `asked_at` at which that was asked until `until`. Returns true
    /// if it was not so just before: then what was counted earlier is forgotten, because another replica may have shown
    /// later counts meanwhile, and totals must not go back.
    #[must_use]
    pub fn observe(&self, epoch: u64, asked_at: Duration, until: Duration) -> bool {
        let now = self.clock.monotonic();
        self.change(|state| {
            let goes_on = state.observes(now) && state.epoch == Some(epoch);
            if !goes_on {
                state.last = None;
                state.up = false;
                state.watch.0 = asked_at;
            }
            state.watch.1 = until;
            state.epoch = Some(epoch);
            !goes_on
        })
    }

    /// Another replica observes. That the store answers is believed until `until`.
    pub fn stand_by(&self, epoch: u64, until: Duration) {
        self.change(|state| {
            state.watch.1 = Duration::ZERO;
            state.last = None;
            state.stands_by = until;
            state.up = true;
            state.epoch = Some(epoch);
        });
    }

    /// This replica observes no more, and nobody has said who does.
    pub fn resign(&self) {
        self.change(|state| {
            state.watch.1 = Duration::ZERO;
            state.last = None;
        });
    }

    /// True if it is this replica that observes now.
    #[must_use]
    pub fn observes(&self) -> bool {
        self.observes_since().is_some()
    }

    /// The monotonic time since which it is this replica that observes; what was asked for earlier is not to be shown.
    #[must_use]
    pub fn observes_since(&self) -> Option<Duration> {
        let now = self.clock.monotonic();
        self.read(|state| state.observes(now).then_some(state.watch.0))
    }

    /// Replaces the snapshot. `taken_at` is the monotonic time at which the count was asked for; one that was asked for
    /// before this replica began to observe is left out.
    pub fn publish(&self, snapshot: Snapshot, taken_at: Duration) {
        let now = self.clock.monotonic();
        self.change(|state| {
            if state.observes(now) && taken_at >= state.watch.0 {
                state.last = Some((snapshot, taken_at));
                state.up = true;
            }
        });
    }

    /// Takes the gauges away by itself once the last count is older than `limit`: whoever counts may have been stopped
    /// or be stuck, and then cannot withdraw.
    pub fn believe_for(&self, limit: Duration) {
        self.change(|state| state.believed_for = Some(limit));
    }

    /// The store does not answer. Takes the gauges away until the next [`Presence::publish`]: a frozen or zero value
    /// would be a lie.
    pub fn withdraw(&self) {
        self.change(|state| state.up = false);
    }

    /// The snapshot, if the gauges show one now.
    #[must_use]
    pub fn current(&self) -> Option<Snapshot> {
        let now = self.clock.monotonic();
        self.read(|state| state.current(now))
    }

    /// Records the length of a session that has ended; `reason` is one of [`END_REASONS`].
    pub fn session_ended(&self, reason: &'static str, lasted: Duration) {
        self.duration
            .record(lasted.as_secs_f64(), &[KeyValue::new("reason", reason)]);
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// The last count, if it is this replica that observes; also while the store does not answer.
    fn last(&self) -> Option<(Snapshot, Duration)> {
        let now = self.clock.monotonic();
        self.read(|state| state.last.filter(|_| state.observes(now)))
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
        self.register_age(meter);
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
                let Some((totals, _)) = this.last() else {
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
                let Some((totals, _)) = this.last() else {
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
            .with_description("Age of the last count that the store answered")
            .with_callback(guarded(move |observer| {
                if let Some((_, taken_at)) = this.last() {
                    let age = this.clock.monotonic().saturating_sub(taken_at);
                    observer.observe(age.as_secs_f64(), &[]);
                }
            }))
            .build();
    }

    /// What every replica says of itself.
    fn register_own(&self, meter: &Meter) {
        let this = self.clone();
        meter
            .u64_observable_gauge("skriptoteket.session_census_up")
            .with_unit("{census}")
            .with_description(
                "1 while the session store answers this replica, so that the session gauges can be believed; else 0",
            )
            .with_callback(guarded(move |observer| {
                let now = this.clock.monotonic();
                let up = this.read(|state| state.is_up(now));
                observer.observe(u64::from(up), &[]);
            }))
            .build();
        let this = self.clone();
        meter
            .u64_observable_gauge("skriptoteket.session_observer")
            .with_unit("{observer}")
            .with_description("1 on the replica that exports what is service-wide, 0 on the others")
            .with_callback(guarded(move |observer| {
                observer.observe(u64::from(this.observes()), &[]);
            }))
            .build();
        let this = self.clone();
        meter
            .u64_observable_gauge("skriptoteket.session_observer_epoch")
            .with_unit("{epoch}")
            .with_description("How often another replica has taken over, as this one last heard")
            .with_callback(guarded(move |observer| {
                if let Some(epoch) = this.read(|state| state.epoch) {
                    observer.observe(epoch, &[]);
                }
            }))
            .build();
    }
}

/// Keeps a panic inside a callback: in SDK 0.33 it would end the export thread and empty `/metrics` for good.
pub(super) fn guarded<T>(
    callback: impl Fn(&dyn AsyncInstrument<T>) + Send + Sync + 'static,
) -> impl Fn(&dyn AsyncInstrument<T>) + Send + Sync + 'static {
    move |observer| {
        if catch_unwind(AssertUnwindSafe(|| callback(observer))).is_err() {
            tracing::error!("an instrument's callback panicked; its series are absent");
        }
    }
}
