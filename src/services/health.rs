//! What the last signs of life of a service say.

use std::time::Duration;

use super::{SKEW, Service};
use crate::{clock::Timestamp, label};

label! {
    /// How a service is, as far as its last sign of life tells: a heartbeat or an authentication, whichever is later, or its
    /// registration if there was neither. A time that is still to come is from a clock that was ahead, and no sign.
    pub enum Health: "health" {
        /// It showed itself lately.
        Healthy = "healthy",
        /// Not for some time.
        Degraded = "degraded",
        /// Not for so long that it may be gone.
        Stale = "stale",
        /// It may not authenticate.
        Disabled = "disabled",
    }
}

/// After which silence a service is what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthPolicy {
    /// After this it is degraded.
    pub degraded_after: Duration,
    /// After this it is stale; not less than the other.
    pub stale_after: Duration,
}

impl Health {
    /// The health of `service` at `now`.
    #[must_use]
    pub fn of(service: &Service, now: Timestamp, policy: &HealthPolicy) -> Self {
        if service.disabled {
            return Self::Disabled;
        }
        let signs = [
            service.last_heartbeat,
            service.last_authentication,
            Some(service.created_at),
        ];
        // Clocks of replicas differ a little.
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
