//! The metrics of sessions.

use std::{fmt, time::Duration};

use opentelemetry::metrics::{Histogram, Meter};

use super::{EndReason, Ended};
use skriptoteket_core::{metric::Label, metrics, user::Role};

metrics! {
    pub(super) ACTIVE_SESSIONS = ObservableGauge("skriptoteket.active_sessions", "{session}", ServiceWide, [],
        "Live sessions");
    pub(super) SESSIONS_BY_ROLE = ObservableGauge("skriptoteket.sessions_by_role", "{session}", ServiceWide, [Role::ATTRIBUTE],
        "Live sessions by role");
    pub(super) USERS_BY_ROLE = ObservableGauge("skriptoteket.users_by_role", "{user}", ServiceWide, [Role::ATTRIBUTE],
        "Distinct users with a live session, by role");
    pub(super) SESSIONS_STARTED = ObservableCounter("skriptoteket.sessions_started", "{session}", ServiceWide, [Role::ATTRIBUTE],
        "Sessions started, by role");
    pub(super) SESSIONS_ENDED = ObservableCounter("skriptoteket.sessions_ended", "{session}", ServiceWide,
        [Role::ATTRIBUTE, EndReason::ATTRIBUTE],
        "Sessions ended, by role and reason");
    SESSION_DURATION = Histogram("skriptoteket.session_duration", "s", PerInstance, [EndReason::ATTRIBUTE],
        "Duration of ended sessions, by reason");
    pub(super) SESSION_CENSUS_UP = ObservableGauge("skriptoteket.session_census_up", "{census}", PerInstance, [],
        "1 if the session store answers this replica and the session gauges are current, otherwise 0");
    pub(super) SESSION_CENSUS_AGE = ObservableGauge("skriptoteket.session_census_age", "s", PerInstance, [],
        "Time since the session store last answered this replica");
    pub(super) SESSION_OBSERVER = ObservableGauge("skriptoteket.session_observer", "{observer}", PerInstance, [],
        "1 on the replica that exports the service-wide metrics, 0 on the others");
    pub(super) SESSION_OBSERVER_EPOCH = ObservableGauge("skriptoteket.session_observer_epoch", "{epoch}", PerInstance, [],
        "Number of times that another replica has taken over the service-wide metrics, as last known to this one");
}

const MINUTE: f64 = 60.0;
const HOUR: f64 = 60.0 * MINUTE;
const DAY: f64 = 24.0 * HOUR;

/// Bounds in seconds: from a session that is replaced at once to a remembered one that lasts a month.
const DURATION_BOUNDS: [f64; 14] = [
    1.0,
    10.0,
    MINUTE,
    5.0 * MINUTE,
    15.0 * MINUTE,
    30.0 * MINUTE,
    HOUR,
    2.0 * HOUR,
    4.0 * HOUR,
    8.0 * HOUR,
    12.0 * HOUR,
    DAY,
    7.0 * DAY,
    30.0 * DAY,
];

/// Records the duration of sessions. Cheap to clone.
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
        Self {
            duration: SESSION_DURATION.histogram(meter, &DURATION_BOUNDS),
        }
    }

    /// Records the duration of a session that has ended.
    pub fn session_ended(&self, reason: EndReason, lasted: Duration) {
        self.duration
            .record(lasted.as_secs_f64(), &[reason.key_value()]);
    }

    /// Records the durations of sessions that have ended.
    pub(super) fn sessions_ended(&self, ended: &[Ended]) {
        for end in ended {
            self.session_ended(end.reason, end.lasted);
        }
    }
}
