//! How long sessions live and how many a user may have.

use std::time::Duration;

/// How long sessions live and how many a user may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionPolicy {
    /// How long a session lives without use.
    pub idle: Duration,
    /// How long it lives at most.
    pub absolute: Duration,
    /// How long one lives, used or not, that was started with `remember_me`.
    pub remembered: Duration,
    /// Live sessions of one user.
    pub max_per_user: u32,
}

/// A refresh is written at most this often, or every twentieth of the idle timeout where that is shorter.
const LONGEST_STEP: Duration = Duration::from_mins(1);

impl SessionPolicy {
    /// How far the idle expiry must move to be worth a write.
    #[must_use]
    pub fn step(&self) -> Duration {
        LONGEST_STEP.min(self.idle / 20)
    }
}
