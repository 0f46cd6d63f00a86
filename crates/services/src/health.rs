//! The health of a service, derived from its last activity.

use std::time::Duration;

use super::clock_skew::SKEW;
use skriptoteket_core::{clock::Timestamp, label};

label! {
    /// The health of a service, derived from its last activity: a heartbeat or an authentication, whichever is
    /// later, or its registration if there was neither. A time in the future comes from a clock that was ahead, and
    /// does not count.
    pub enum Health: "health" {
        /// The service was active recently.
        Healthy = "healthy",
        /// It was not active for some time.
        Degraded = "degraded",
        /// It was not active for so long that it may be gone.
        Stale = "stale",
        /// It may not authenticate.
        Disabled = "disabled",
    }
}

/// The times without activity after which the health of a service changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthPolicy {
    /// After this time the service is degraded.
    pub degraded_after: Duration,
    /// After this time it is stale; at least `degraded_after`.
    pub stale_after: Duration,
}

impl Health {
    /// Returns the health at `now` of an enabled service with this last activity.
    pub(super) fn of(signs: [Option<Timestamp>; 3], now: Timestamp, policy: &HealthPolicy) -> Self {
        // The clocks of replicas differ slightly.
        let furthest = now.plus(SKEW);
        let last = signs.into_iter().flatten().filter(|at| *at <= furthest);
        let silence = now.since(last.max().unwrap_or_default());
        if silence > policy.stale_after {
            Self::Stale
        } else if silence > policy.degraded_after {
            Self::Degraded
        } else {
            Self::Healthy
        }
    }

    /// True for a service that is in use.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Healthy | Self::Degraded)
    }
}
