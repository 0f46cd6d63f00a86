//! Durations as text: a whole number and a unit. Used in settings, arguments and messages.

use std::time::Duration;

/// The units and their milliseconds, longest first.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Parses a duration, for example `500ms`, `20s`, `5m`, `1h` or `30d`. Returns `None` if the text is not a duration.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, millis) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
    let number: u64 = number.parse().ok()?;
    number.checked_mul(millis).map(Duration::from_millis)
}

/// Formats a duration in the longest unit of which it is a whole number. Fractions of a millisecond are dropped.
#[must_use]
pub fn write(duration: Duration) -> String {
    let millis = duration.as_millis();
    let fits = |(_, unit): &(&str, u64)| millis > 0 && millis.is_multiple_of(u128::from(*unit));
    UNITS.into_iter().find(fits).map_or_else(
        || "0s".into(),
        |(name, unit)| format!("{}{name}", millis / u128::from(unit)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_whole_number_and_a_unit() {
        assert_eq!(parse("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse("20s"), Some(Duration::from_secs(20)));
        assert_eq!(parse("5m"), Some(Duration::from_mins(5)));
        assert_eq!(parse("1h"), Some(Duration::from_hours(1)));
        assert_eq!(parse("2d"), Some(Duration::from_hours(48)));
        assert_eq!(parse("0s"), Some(Duration::ZERO));
        let too_long = "9".repeat(20) + "s";
        for bad in ["", "20", "s", "-1s", "1.5s", "20 s", "1w", &too_long] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_duration_is_written_as_it_is_read() {
        for text in ["0s", "90s", "4m", "2h", "250ms", "30d"] {
            assert_eq!(write(parse(text).unwrap()), text);
        }
    }
}
