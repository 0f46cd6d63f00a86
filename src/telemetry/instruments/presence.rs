//! Who is here: gauges and totals of sessions, read from a snapshot in memory.
//!
//! The callbacks run on an exporter's thread, or on the worker that serves `/metrics`. They read memory and nothing
//! else, and a panic in one of them would silence all metrics for ever, so each runs inside `catch_unwind`.

mod state;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, Histogram, Meter},
};

use self::state::{Answers, State, TO_ASK_AGAIN};
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
    pub ended: [[u64; 7]; 4],
}

/// Holds the snapshot and the instruments that read it.
#[derive(Clone)]
pub struct Presence {
    state: Arc<RwLock<State>>,
    /// When it was first seen that the store had not been asked for too long.
    not_asked: Arc<Mutex<Option<Duration>>>,
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
    /// Until the first [`Presence::publish`] the gauges are absent, and until the store's first answer `census_up` is 0.
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
            not_asked: Arc::default(),
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
                state.is_count_missing = false;
                state.watch.0 = asked_at;
            }
            state.heard(asked_at);
            state.watch.1 = until;
            state.epoch = Some(epoch);
            !goes_on
        })
    }

    /// Another replica observes, as the store has said when it was asked at `asked_at`. That it answers is believed until
    /// `until`.
    pub fn stand_by(&self, epoch: u64, asked_at: Duration, until: Duration) {
        self.change(|state| {
            state.watch.1 = Duration::ZERO;
            state.last = None;
            state.heard(asked_at);
            state.is_count_missing = false;
            state.stands_by = until;
            state.epoch = Some(epoch);
        });
    }

    /// This replica observes no more, because it ends. Whether the store answers stays as it was heard last.
    pub fn resign(&self) {
        self.change(|state| {
            state.watch.1 = Duration::ZERO;
            state.stands_by = Duration::MAX;
            state.last = None;
        });
    }

    /// The store did not say who observes. A lease that is held goes on to its end.
    pub fn hear_nothing(&self) {
        self.change(|state| state.is_lease_missing = true);
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
                state.is_count_missing = false;
                state.answered_at = Some(taken_at);
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
        self.change(|state| state.is_count_missing = true);
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
            .with_description(
                "Time since the store last answered this replica: a count if it observes, else who does",
            )
            .with_callback(guarded(move |observer| {
                if let Some(answered_at) = this.read(|state| state.answered_at) {
                    let age = this.clock.monotonic().saturating_sub(answered_at);
                    observer.observe(age.as_secs_f64(), &[]);
                }
            }))
            .build();
    }

    /// Whether the store answers; nothing while that is not known.
    fn answers(&self) -> Option<bool> {
        let now = self.clock.monotonic();
        let answers = self.read(|state| state.answers(now));
        let mut not_asked = self
            .not_asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if answers != Answers::NotAsked {
            *not_asked = None;
            return Some(answers == Answers::Yes);
        }
        // Seen a second time after a while, whoever asks is stuck, and what is shown could not be believed.
        let since = *not_asked.get_or_insert(now);
        (now.saturating_sub(since) >= TO_ASK_AGAIN).then_some(false)
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
                if let Some(up) = this.answers() {
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
