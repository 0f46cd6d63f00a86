//! Limits log messages about repeated failures: each cause is logged once a minute, with the number of suppressed
//! messages.
//!
//! A store that is full fails every request. Without a message the operator does not learn the cause; with a message
//! for each request, clients could fill the log.

use std::{
    collections::BTreeMap,
    sync::{LazyLock, Mutex, PoisonError},
    time::Duration,
};

use crate::clock::{Clock, SystemClock};

/// How long a cause is not logged again.
const QUIET: Duration = Duration::from_mins(1);

/// Maximum number of causes that are tracked separately. Further causes count as one, because some contain an address
/// or a number.
const MOST: usize = 32;

static ALL: Repeats = Repeats::new();
static CLOCK: LazyLock<SystemClock> = LazyLock::new(SystemClock::default);

/// Checks whether a message of this kind about this cause is due in this process. Returns the number of messages
/// suppressed since the last one, or `None` if this one is suppressed too.
pub fn due(kind: &'static str, cause: &str) -> Option<u64> {
    ALL.due(kind, cause, CLOCK.monotonic())
}

/// When each cause was last logged.
#[derive(Debug)]
struct Repeats(Mutex<BTreeMap<(&'static str, String), Told>>);

#[derive(Debug)]
struct Told {
    at: Duration,
    left_out: u64,
}

impl Repeats {
    const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    fn due(&self, kind: &'static str, cause: &str, now: Duration) -> Option<u64> {
        let is_old = |told: &Told| now.saturating_sub(told.at) >= QUIET;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = (kind, cause.to_owned());
        if !all.contains_key(&key) && all.len() >= MOST {
            all.retain(|_, told| !is_old(told));
            if all.len() >= MOST {
                key = (kind, String::new());
            }
        }
        if let Some(told) = all.get_mut(&key) {
            if !is_old(told) {
                told.left_out += 1;
                return None;
            }
            told.at = now;
            return Some(std::mem::take(&mut told.left_out));
        }
        all.insert(
            key,
            Told {
                at: now,
                left_out: 0,
            },
        );
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_cause_is_told_once_a_minute_with_what_was_left_out() {
        let repeats = Repeats::new();
        assert_eq!(repeats.due("request", "full", Duration::ZERO), Some(0));
        for second in 1..60 {
            assert_eq!(repeats.due("request", "full", second * SECOND), None);
        }
        assert_eq!(repeats.due("request", "away", 30 * SECOND), Some(0));
        assert_eq!(repeats.due("ready", "full", 30 * SECOND), Some(0));
        assert_eq!(repeats.due("request", "full", 60 * SECOND), Some(59));
        assert_eq!(repeats.due("request", "full", 61 * SECOND), None);
    }

    #[test]
    fn causes_without_number_do_not_fill_log_or_memory() {
        let repeats = Repeats::new();
        let told = (0..10_000)
            .filter(|it| repeats.due("request", &it.to_string(), SECOND).is_some())
            .count();
        assert_eq!(told, MOST + 1);
        assert!(repeats.0.lock().unwrap().len() <= MOST + 1);
        // A minute later there is space again.
        assert_eq!(repeats.due("request", "new", 61 * SECOND), Some(0));
        assert_eq!(repeats.0.lock().unwrap().len(), 1);
    }
}
