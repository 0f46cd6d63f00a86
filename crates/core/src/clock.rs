//! Time as a dependency: the wall clock for what is stored, a monotonic clock for what is measured.
//!
//! Nothing else in the crate reads a clock (`.clippy.toml` bans it), so a test sets the time instead of sleeping.

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A point in time: whole milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Creates the point in time `milliseconds` after the Unix epoch.
    #[must_use]
    pub const fn from_millis(milliseconds: i64) -> Self {
        Self(milliseconds)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Returns the time since `earlier`, or zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Returns this time plus a duration; saturates at the maximum.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// Formats as RFC 3339 in UTC, with the milliseconds as a fraction without trailing zeros, for example
    /// `2026-01-31T12:00:00.25Z`.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .ok()
            .and_then(|at| at.format(&Rfc3339).ok())
            .unwrap_or_else(|| String::from("9999-12-31T23:59:59Z"))
    }
}

/// The text is not a time.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time: expected RFC 3339, for example 2026-01-31T12:00:00Z")]
pub struct InvalidTime;

impl FromStr for Timestamp {
    type Err = InvalidTime;

    /// Parses RFC 3339, to the millisecond.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| InvalidTime)?;
        let millis = at.unix_timestamp_nanos().div_euclid(1_000_000);
        i64::try_from(millis).map(Self).map_err(|_| InvalidTime)
    }
}

/// A source of time.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Returns the time of the wall clock.
    fn now(&self) -> Timestamp;

    /// Returns the time since some fixed point; never goes back. For ages and durations.
    fn monotonic(&self) -> Duration;
}

/// The clocks of the operating system.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is where time enters the crate"
        )]
        let origin = Instant::now();
        Self { origin }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is where time enters the crate"
        )]
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::default().plus(since_epoch)
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }
}

/// Checks whether the wall clock can be trusted: whether it has kept pace with the monotonic clock for some time.
///
/// A machine without a battery-backed clock starts at a wrong time, until a time server corrects it. Deletions and
/// changes that depend on the wall clock wait until then.
#[derive(Debug)]
pub struct ClockWatch {
    clock: Arc<dyn Clock>,
    span: Duration,
    /// Both clocks when the wall clock was last set, or at the start.
    set: Mutex<(Timestamp, Duration)>,
}

impl ClockWatch {
    /// Maximum difference between the two clocks. The normal corrections of a time server are smaller.
    const TOLERANCE: Duration = Duration::from_secs(10);

    /// Starts watching this clock. It is trusted once it has kept pace for `span`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, span: Duration) -> Self {
        let set = Mutex::new((clock.now(), clock.monotonic()));
        Self { clock, span, set }
    }

    /// Compares the clocks. Returns true if the wall clock has not been set for the span. Call it more often than
    /// once per span.
    pub fn has_kept_pace(&self) -> bool {
        let (now, monotonic) = (self.clock.now(), self.clock.monotonic());
        let mut set = self
            .set
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let passed = monotonic.saturating_sub(set.1);
        let expected = set.0.plus(passed);
        if now.since(expected).max(expected.since(now)) > Self::TOLERANCE {
            *set = (now, monotonic);
            return false;
        }
        passed >= self.span
    }
}

/// A clock that stands still until a test moves it. Both of its clocks move together, unless the wall clock is set.
#[derive(Debug)]
pub struct ManualClock {
    start: Mutex<Timestamp>,
    elapsed: Mutex<Duration>,
}

impl ManualClock {
    /// Creates a clock that shows `start`.
    #[must_use]
    pub const fn starting_at(start: Timestamp) -> Self {
        Self {
            start: Mutex::new(start),
            elapsed: Mutex::new(Duration::ZERO),
        }
    }

    /// Sets the wall clock, as an operator or a time server does. The monotonic clock does not change.
    pub fn set(&self, now: Timestamp) {
        let elapsed = i64::try_from(self.monotonic().as_millis()).unwrap_or(i64::MAX);
        let mut start = self
            .start
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *start = Timestamp::from_millis(now.as_millis().saturating_sub(elapsed));
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let mut elapsed = self
            .elapsed
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *elapsed += by;
    }
}

impl Default for ManualClock {
    /// Starts at noon of 1 January 2026, UTC.
    fn default() -> Self {
        Self::starting_at(Timestamp::from_millis(1_767_268_800_000))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        let start = self
            .start
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        start.plus(self.monotonic())
    }

    fn monotonic(&self) -> Duration {
        *self
            .elapsed
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_written_as_rfc_3339_in_utc() {
        assert_eq!(Timestamp::default().to_rfc3339(), "1970-01-01T00:00:00Z");
        assert_eq!(
            Timestamp::from_millis(1_767_268_800_250).to_rfc3339(),
            "2026-01-01T12:00:00.25Z"
        );
    }

    #[test]
    fn a_wall_clock_is_believed_when_it_has_not_been_set_for_a_while() {
        let clock = Arc::new(ManualClock::default());
        let (minute, span) = (Duration::from_mins(1), Duration::from_mins(10));
        let watch = ClockWatch::new(clock.clone(), span);
        for _ in 0..9 {
            clock.advance(minute);
            assert!(!watch.has_kept_pace());
        }
        clock.advance(minute);
        assert!(watch.has_kept_pace());
        // A time server corrects it slightly.
        clock.set(clock.now().plus(Duration::from_secs(2)));
        assert!(watch.has_kept_pace());
        for set in [minute, Duration::ZERO] {
            clock.set(Timestamp::default().plus(set));
            assert!(!watch.has_kept_pace());
            clock.advance(9 * minute);
            assert!(!watch.has_kept_pace());
            clock.advance(minute);
            assert!(watch.has_kept_pace());
        }
    }

    #[test]
    fn a_timestamp_is_read_from_rfc_3339() {
        let at = Timestamp::from_millis(1_767_268_800_250);
        assert_eq!(at.to_rfc3339().parse(), Ok(at));
        assert_eq!("2026-01-01T13:00:00.25+01:00".parse(), Ok(at));
        for bad in [
            "",
            "2026-01-01",
            "2026-01-01 12:00",
            "now",
            "2026-13-01T00:00:00Z",
        ] {
            assert_eq!(bad.parse::<Timestamp>(), Err(InvalidTime), "{bad}");
        }
    }

    #[test]
    fn a_duration_back_in_time_is_zero() {
        let (early, late) = (Timestamp::from_millis(5), Timestamp::from_millis(9));
        assert_eq!(late.since(early), Duration::from_millis(4));
        assert_eq!(early.since(late), Duration::ZERO);
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = ManualClock::default();
        let before = clock.now();
        assert_eq!(clock.now(), before);
        clock.advance(Duration::from_secs(3));
        assert_eq!(clock.now().since(before), Duration::from_secs(3));
        assert_eq!(clock.monotonic(), Duration::from_secs(3));
    }
}
