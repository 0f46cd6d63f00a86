//! Session lifetimes, and the maximum number of sessions per user.

use std::time::Duration;

/// Session lifetimes, and the maximum number of sessions per user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionPolicy {
    /// Idle timeout.
    pub idle: Duration,
    /// Maximum lifetime.
    pub absolute: Duration,
    /// Lifetime, used or not, of a session started with `remember_me`.
    pub remembered: Duration,
    /// Maximum number of live sessions per user.
    pub max_per_user: u32,
}

/// Minimum time between two writes of a refresh; a twentieth of the idle timeout if that is shorter.
const LONGEST_STEP: Duration = Duration::from_mins(1);

impl Default for SessionPolicy {
    /// 30 minutes idle, 12 hours in total, 30 days if remembered, 10 sessions per user.
    fn default() -> Self {
        Self {
            idle: Duration::from_mins(30),
            absolute: Duration::from_hours(12),
            remembered: Duration::from_hours(30 * 24),
            max_per_user: 10,
        }
    }
}

impl SessionPolicy {
    /// Returns how far the idle expiry must move to justify a write.
    #[must_use]
    pub fn step(&self) -> Duration {
        LONGEST_STEP.min(self.idle / 20)
    }
}
