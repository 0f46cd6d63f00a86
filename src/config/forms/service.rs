//! How the settings of services are written: rates and audiences.

use std::{fmt, str::FromStr, time::Duration};

use url::Url;

use super::{super::faults::Problem, Form, quoted};

/// How many requests in what time, kept as the time of one: `100/s` is 10 ms. From 1 a day to 10,000 a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(Duration);

/// The text is no rate.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a rate: expected a number and a unit (100/s, 30/m, 0.5/h, 5000/d), from 1/d to 10000/s"
)]
pub struct InvalidRate;

/// The units of a rate and their microseconds.
const UNITS: [(&str, f64); 4] = [("s", 1e6), ("m", 60e6), ("h", 3_600e6), ("d", 86_400e6)];

impl Rate {
    const FASTEST: Duration = Duration::from_micros(100);
    /// The time of one request at the slowest rate.
    pub const SLOWEST: Duration = Duration::from_hours(24);

    /// The time of one request, in whole microseconds.
    #[must_use]
    pub const fn interval(self) -> Duration {
        self.0
    }

    /// The rate of one request in this time, if it is one.
    #[must_use]
    pub fn every(interval: Duration) -> Option<Self> {
        let rate = Self(Duration::from_micros(
            u64::try_from(interval.as_micros()).ok()?,
        ));
        (Self::FASTEST..=Self::SLOWEST)
            .contains(&rate.0)
            .then_some(rate)
    }
}

impl FromStr for Rate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, unit) = text.split_once('/').ok_or(InvalidRate)?;
        let plain = number.bytes().all(|it| it.is_ascii_digit() || it == b'.');
        let number: f64 = number.parse().ok().filter(|_| plain).ok_or(InvalidRate)?;
        let (_, whole) = UNITS
            .into_iter()
            .find(|(name, _)| *name == unit)
            .ok_or(InvalidRate)?;
        // Nothing a second has no interval; the division gives infinity, which is no duration.
        let interval = Duration::try_from_secs_f64((whole / number).round() / 1e6);
        let interval = interval.map_err(|_| InvalidRate)?;
        Self::every(interval).ok_or(InvalidRate)
    }
}

impl fmt::Display for Rate {
    /// In the shortest unit in which it is at least one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_secs_f64() * 1e6;
        let fits = |(_, whole): &(&str, f64)| whole / micros >= 1.0;
        let (unit, whole) = UNITS
            .into_iter()
            .find(fits)
            .unwrap_or(UNITS[UNITS.len() - 1]);
        let number = format!("{:.3}", whole / micros);
        let number = number.trim_end_matches('0').trim_end_matches('.');
        write!(f, "{number}/{unit}")
    }
}

/// A [`Rate`].
pub(in crate::config) struct RateForm;

impl Form for RateForm {
    type Value = Rate;

    fn expected(&self) -> String {
        "a number and a unit (100/s, 30/m, 0.5/h, 5000/d), from 1/d to 10000/s".into()
    }

    fn read(&self, text: &str) -> Result<Rate, Problem> {
        text.parse().map_err(|_| self.unexpected())
    }
}

/// For whom tokens may be: URLs, the first for those who do not ask; an array in TOML, or a text with commas.
pub(in crate::config) struct Audiences;

impl Form for Audiences {
    type Value = Vec<String>;

    fn expected(&self) -> String {
        "up to 32 absolute URLs without a fragment, such as https://api.example.org".into()
    }

    fn read(&self, text: &str) -> Result<Vec<String>, Problem> {
        let items: Vec<&str> = text.split(',').map(str::trim).collect();
        let right = |item: &&str| {
            // Kept as it is written: tokens have it so.
            Url::parse(item).is_ok_and(|url| url.fragment().is_none()) && item.len() <= 256
        };
        if items.len() > 32 || !items.iter().all(right) {
            return Err(self.unexpected());
        }
        Ok(items.into_iter().map(str::to_owned).collect())
    }

    fn expected_in_toml(&self) -> String {
        format!("{}, in an array or written in quotes", self.expected())
    }

    fn text(&self, value: &toml::Value) -> Option<String> {
        let Some(array) = value.as_array() else {
            return value.as_str().map(str::to_owned);
        };
        let items: Option<Vec<&str>> = array.iter().map(toml::Value::as_str).collect();
        items.map(|items| items.join(","))
    }

    fn toml(&self, text: &str) -> String {
        let items: Vec<String> = text.split(',').map(|item| quoted(item.trim())).collect();
        format!("[{}]", items.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_the_time_of_one_request() {
        for (text, micros, shown) in [
            ("100/s", 10_000, "100/s"),
            ("0.01/s", 100_000_000, "36/h"),
            ("30/m", 2_000_000, "30/m"),
            ("1/d", 86_400_000_000, "1/d"),
            ("10000/s", 100, "10000/s"),
            ("3/s", 333_333, "3/s"),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!(rate.interval(), Duration::from_micros(micros), "{text}");
            assert_eq!(rate.to_string(), shown);
            assert!(rate.to_string().parse::<Rate>().is_ok(), "{text}");
        }
        for bad in [
            "", "100", "/s", "0/s", "-1/s", "1/y", "10100/s", "0.5/d", "NaN/s", "1e3/s", "inf/s",
            "1 /s",
        ] {
            assert_eq!(bad.parse::<Rate>(), Err(InvalidRate), "{bad:?}");
        }
    }
}
