//! Request rates.

use std::{fmt, str::FromStr, time::Duration};

/// A request rate, stored as the time per request: `100/s` is 10 ms. From 1 a day to 10,000 a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(Duration);

/// The text is not a rate.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a rate: expected a number and a unit (100/s, 30/m, 0.5/h, 5000/d), from 1/d to 10000/s"
)]
pub struct InvalidRate;

/// The units of a rate and their nanoseconds.
const UNITS: [(&str, u64); 4] = [
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// Maximum number of decimal places of a number, which is read in millionths.
const DECIMALS: u32 = 6;
const WHOLE: u64 = 10_u64.pow(DECIMALS);

impl Rate {
    const FASTEST: Duration = Duration::from_micros(100);
    /// The time per request at the lowest rate.
    pub const SLOWEST: Duration = Duration::from_hours(24);

    /// Returns the time per request, in whole nanoseconds: fine enough to distinguish all whole numbers of requests.
    #[must_use]
    pub const fn interval(self) -> Duration {
        self.0
    }

    /// Returns the rate of one request per `interval`, if it is in range.
    #[must_use]
    pub fn every(interval: Duration) -> Option<Self> {
        (Self::FASTEST..=Self::SLOWEST)
            .contains(&interval)
            .then_some(Self(interval))
    }

    /// Returns the rate of this many millionths of a request per unit of this many nanoseconds.
    fn of(millionths: u64, unit: u64) -> Option<Self> {
        let (millionths, unit, whole) =
            (u128::from(millionths), u128::from(unit), u128::from(WHOLE));
        // The rates are compared, not the intervals: this also detects a rate that is out of range by less than a
        // nanosecond.
        let slow = millionths * Self::SLOWEST.as_nanos() < unit * whole;
        let fast = millionths * Self::FASTEST.as_nanos() > unit * whole;
        if millionths == 0 || slow || fast {
            return None;
        }
        let nanos = (unit * whole + millionths / 2) / millionths;
        Self::every(Duration::from_nanos(u64::try_from(nanos).ok()?))
    }
}

impl FromStr for Rate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, name) = text.split_once('/').ok_or(InvalidRate)?;
        let unit = UNITS.into_iter().find(|(known, _)| *known == name);
        let (_, unit) = unit.ok_or(InvalidRate)?;
        let millionths = millionths(number).ok_or(InvalidRate)?;
        Self::of(millionths, unit).ok_or(InvalidRate)
    }
}

/// Parses a decimal number with at most [`DECIMALS`] decimal places, in millionths.
fn millionths(number: &str) -> Option<u64> {
    let (whole, rest) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit());
    let decimals = u32::try_from(rest.len()).ok()?;
    if !digits(whole) || !digits(rest) || decimals > DECIMALS {
        return None;
    }
    let rest = rest.parse::<u64>().ok()? * 10_u64.pow(DECIMALS - decimals);
    whole
        .parse::<u64>()
        .ok()?
        .checked_mul(WHOLE)?
        .checked_add(rest)
}

impl fmt::Display for Rate {
    /// Writes as few digits as possible, in the shortest unit that gives at least one request: `300/s`, `5000/d`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let mut shown = (0, UNITS[UNITS.len() - 1].0);
        'found: for decimals in 0..=DECIMALS {
            let step = u128::from(10_u64.pow(DECIMALS - decimals));
            for (name, unit) in UNITS {
                let exact = u128::from(unit) * u128::from(WHOLE);
                let millionths = (exact + nanos * step / 2) / (nanos * step) * step;
                let millionths = u64::try_from(millionths).unwrap_or(u64::MAX);
                if millionths < WHOLE {
                    continue;
                }
                shown = (millionths, name);
                if Self::of(millionths, unit) == Some(*self) {
                    break 'found;
                }
            }
        }
        let (millionths, name) = shown;
        let (whole, rest) = (millionths / WHOLE, millionths % WHOLE);
        let rest = format!(".{rest:06}");
        let rest = rest.trim_end_matches('0').trim_end_matches('.');
        write!(f, "{whole}{rest}/{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_the_time_of_one_request() {
        for (text, nanos, shown) in [
            ("100/s", 10_000_000, "100/s"),
            ("0.01/s", 100_000_000_000, "36/h"),
            ("30/m", 2_000_000_000, "30/m"),
            ("0.5/h", 7_200_000_000_000, "12/d"),
            ("1/d", 86_400_000_000_000, "1/d"),
            ("10000/s", 100_000, "10000/s"),
            ("3/s", 333_333_333, "3/s"),
            ("9999.5/s", 100_005, "599970/m"),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!(rate.interval(), Duration::from_nanos(nanos), "{text}");
            assert_eq!(rate.to_string(), shown);
        }
        for bad in [
            "",
            "100",
            "/s",
            "0/s",
            "-1/s",
            "1/y",
            "10001/s",
            "10000.01/s",
            "600001/m",
            "0.5/d",
            "0.999999/d",
            "NaN/s",
            "1e3/s",
            "inf/s",
            "1 /s",
            ".5/s",
            "1./s",
            "1.0000000/s",
            "99999999999999999999/s",
            "+1/s",
        ] {
            assert_eq!(bad.parse::<Rate>(), Err(InvalidRate), "{bad:?}");
        }
    }

    #[test]
    fn a_rate_is_told_back_as_it_was_given() {
        let whole = (1..=10_000).map(|it| format!("{it}/s"));
        let others = [
            "5000/d", "7/m", "11/h", "13/d", "86399/d", "59/m", "0.3/m", "100.5/s", "0.001/s",
        ];
        for text in whole.chain(others.map(str::to_owned)) {
            let rate: Rate = text.parse().unwrap();
            let shown = rate.to_string();
            assert_eq!(shown.parse::<Rate>().unwrap(), rate, "{text} {shown}");
            // A fraction may be a whole number of another unit.
            if !text.contains('.') {
                assert_eq!(shown, text);
            }
        }
    }

    #[test]
    fn a_rate_that_was_stored_in_microseconds_is_still_one() {
        for micros in [
            100,
            101,
            143,
            3_333,
            1_001,
            333_333,
            17_280_000,
            1_234_567,
            86_400_000_000,
        ] {
            let rate = Rate::every(Duration::from_micros(micros)).unwrap();
            let shown: Rate = rate.to_string().parse().unwrap();
            let off = shown.interval().abs_diff(rate.interval());
            assert!(off <= rate.interval() / 100_000, "{micros}: {rate}");
        }
    }
}
