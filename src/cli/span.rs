//! Times as arguments.

use std::time::Duration;

/// The units and their milliseconds, longest first.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// A time such as `500ms`, `20s`, `5m`, `1h` or `30d`.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    let read = || {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = text.split_at(digits);
        let (_, millis) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        number.parse::<u64>().ok()?.checked_mul(millis)
    };
    read()
        .map(Duration::from_millis)
        .ok_or_else(|| String::from("expected a whole number and a unit: 500ms, 20s, 5m, 1h, 30d"))
}

/// As [`span`], and longer than nothing.
pub(super) fn some_span(text: &str) -> Result<Duration, String> {
    match span(text)? {
        Duration::ZERO => Err(String::from("expected more than 0")),
        span => Ok(span),
    }
}

/// A time in the largest unit that is whole.
pub(super) fn in_words(span: Duration) -> String {
    let millis = span.as_millis();
    let whole = |(_, unit): &(&str, u64)| millis.is_multiple_of(u128::from(*unit));
    let (name, unit) = UNITS.into_iter().find(whole).unwrap_or(("ms", 1));
    format!("{}{name}", millis / u128::from(unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(span("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(span("20s"), Ok(Duration::from_secs(20)));
        assert_eq!(span("5m"), Ok(Duration::from_mins(5)));
        assert_eq!(span("1h"), Ok(Duration::from_hours(1)));
        assert_eq!(span("2d"), Ok(Duration::from_hours(48)));
        assert_eq!(span("0s"), Ok(Duration::ZERO));
        let too_long = "9".repeat(20) + "s";
        for bad in ["", "20", "s", "-1s", "1.5s", "20 s", "1w", &too_long] {
            assert!(span(bad).is_err(), "{bad}");
        }
        assert!(some_span("0s").is_err());
        for text in ["90s", "4m", "2h", "250ms", "30d"] {
            assert_eq!(in_words(span(text).unwrap()), text);
        }
    }
}
