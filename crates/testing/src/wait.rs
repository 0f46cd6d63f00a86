//! Waits for a condition in another process.

use std::{thread, time::Duration};

/// The time limit of every wait, far more than any machine needs. It is counted in polls, so that a suspended machine
/// does not use it up.
pub const TIME_LIMIT: Duration = Duration::from_mins(1);

/// The interval between polls.
pub const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Waits until a condition is met.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    eventually(what, || is_so().then_some(()));
}

/// Polls until there is a result, and returns it.
pub fn eventually<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let mut left = TIME_LIMIT;
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(!left.is_zero(), "timed out waiting until {what}");
        left = left.saturating_sub(LOOK_AGAIN);
        thread::sleep(LOOK_AGAIN);
    }
}
