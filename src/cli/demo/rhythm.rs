//! The rhythm of a compressed day: how active users are, and the simulated time.

use std::{f64::consts::TAU, fmt, time::Duration};

/// The demo starts at eight in the morning, so that the rush is visible at once.
const FIRST_HOUR: f64 = 8.0;

/// The hour with the least activity. Activity is greatest twelve hours later.
const QUIETEST_HOUR: f64 = 3.0;

/// Activity in the quietest hour, relative to the busiest one.
const NIGHT: f64 = 0.06;

/// A day that takes minutes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Day {
    length: Duration,
}

impl Day {
    /// Creates a day of this length; of a second if it is shorter.
    pub(super) fn lasting(length: Duration) -> Self {
        Self {
            length: length.max(Duration::from_secs(1)),
        }
    }

    /// Returns the activity after `elapsed`: 1 in the busiest hour, never 0.
    pub(super) fn activity(self, elapsed: Duration) -> f64 {
        let (_, hour) = self.day_and_hour(elapsed);
        let awake = (1.0 - (TAU * (hour - QUIETEST_HOUR) / 24.0).cos()) / 2.0;
        NIGHT + (1.0 - NIGHT) * awake
    }

    /// Returns the simulated time after `elapsed`.
    pub(super) fn time(self, elapsed: Duration) -> WallTime {
        let (day, hour) = self.day_and_hour(elapsed);
        WallTime { day, hour }
    }

    /// Returns the length of the day.
    pub(super) fn length(self) -> Duration {
        self.length
    }

    /// Returns when it is this hour on the day after the one of `elapsed`.
    pub(super) fn next_day_at(self, elapsed: Duration, hour: f64) -> Duration {
        let (today, _) = self.day_and_hour(elapsed);
        let days = today + 1.0 + (hour - FIRST_HOUR) / 24.0;
        self.length.mul_f64(days)
    }

    /// Returns the days since the first one began, and the hour in `0.0..24.0`.
    fn day_and_hour(self, elapsed: Duration) -> (f64, f64) {
        let days = FIRST_HOUR / 24.0 + elapsed.as_secs_f64() / self.length.as_secs_f64();
        (days.floor(), days.fract() * 24.0)
    }
}

/// A time of the compressed day; shown as `14:05`.
#[derive(Clone, Copy, Debug)]
pub(super) struct WallTime {
    day: f64,
    hour: f64,
}

impl WallTime {
    /// Returns the number of the day, from 1.
    pub(super) fn day(self) -> String {
        format!("{:.0}", self.day + 1.0)
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minute = (self.hour.fract() * 60.0).floor();
        write!(f, "{:02.0}:{minute:02.0}", self.hour.floor())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_mins(4);

    fn at_hour(hours_later: u64) -> Duration {
        Duration::from_secs(10 * hours_later)
    }

    #[test]
    fn the_first_thing_on_the_clock_is_eight_in_the_morning() {
        let day = Day::lasting(DAY);
        assert_eq!(day.time(Duration::ZERO).to_string(), "08:00");
        assert_eq!(day.time(Duration::from_secs(5)).to_string(), "08:30");
        assert_eq!(day.time(at_hour(16)).to_string(), "00:00");
        assert_eq!(day.time(at_hour(15)).day(), "1");
        assert_eq!(day.time(at_hour(16)).day(), "2");
    }

    #[test]
    fn an_hour_of_the_next_day_is_found() {
        let day = Day::lasting(DAY);
        for now in [at_hour(0), at_hour(15)] {
            assert_eq!(day.next_day_at(now, 1.0), at_hour(17), "{now:?}");
        }
        let third = day.next_day_at(at_hour(16), 20.5);
        assert_eq!(day.time(third).to_string(), "20:30");
        assert_eq!(day.time(third).day(), "3");
    }

    #[test]
    fn afternoons_are_busy_and_nights_are_quiet_but_never_dead() {
        let day = Day::lasting(DAY);
        let (busiest, quietest) = (day.activity(at_hour(7)), day.activity(at_hour(19)));
        assert!(busiest > 0.99, "{busiest}");
        assert!((0.05..0.1).contains(&quietest), "{quietest}");
        assert!((busiest - day.activity(at_hour(7 + 24))).abs() < 1e-9);
    }

    #[test]
    fn a_day_of_no_length_is_still_a_day() {
        let day = Day::lasting(Duration::ZERO);
        assert!(day.activity(Duration::from_secs(3)).is_finite());
    }
}
