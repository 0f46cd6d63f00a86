//! The syntax of values: each form parses a text, describes what it expects, and formats TOML.

mod log_filter;
mod network;
mod server_url;
mod service;

use std::{
    fmt::{self, Write},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use secrecy::SecretString;

pub(in crate::config) use log_filter::LogFilter;
pub(in crate::config) use network::{Address, Networks, WebOrigin, has_credentials};
pub(in crate::config) use server_url::{KeyPrefix, REDIS_URL, RedisUrl, RedisUser};
pub(in crate::config) use service::{Audiences, RateForm};

use super::faults::Problem;
use crate::duration_text;

/// The syntax of one kind of value.
pub(in crate::config) trait Form: Sync {
    /// The type of the parsed value.
    type Value;

    /// Describes a valid text; completes the word "expected".
    fn expected(&self) -> String;

    /// Describes a valid value in the file.
    fn expected_in_toml(&self) -> String {
        format!("{}, written in quotes", self.expected())
    }

    /// Parses the text.
    fn read(&self, text: &str) -> Result<Self::Value, Problem>;

    /// Returns the text in a TOML value; `None` if this form does not accept its type.
    fn text(&self, value: &toml::Value) -> Option<String> {
        value.as_str().map(str::to_owned)
    }

    /// Formats the text as a TOML value.
    fn toml(&self, text: &str) -> String {
        quoted(text)
    }

    /// Returns false if a fault must not show the text: it is a secret, or may contain one.
    fn may_show(&self, _text: &str) -> bool {
        !self.is_secret()
    }

    /// Returns true if the value must not be shown.
    fn is_secret(&self) -> bool {
        false
    }

    /// Returns the problem of a text that does not have the expected form.
    fn unexpected(&self) -> Problem {
        Problem::Expected(self.expected())
    }
}

/// Formats the text as a TOML string on one line.
pub(in crate::config) fn quoted(text: &str) -> String {
    // Debug's escapes differ from TOML's, and `toml` writes a text with line ends on several lines.
    let mut line = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => line.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(line, "\\U{:08X}", u32::from(c));
            }
            c => line.push(c),
        }
    }
    line.push('"');
    line
}

/// A path, relative to the working directory.
pub(in crate::config) struct FilePath;

impl Form for FilePath {
    type Value = PathBuf;

    fn expected(&self) -> String {
        "a path".into()
    }

    fn read(&self, text: &str) -> Result<PathBuf, Problem> {
        if text.is_empty() || text.contains('\0') {
            return Err(self.unexpected());
        }
        Ok(PathBuf::from(text))
    }
}

/// Any text that is not empty.
pub(in crate::config) struct Text;

impl Form for Text {
    type Value = String;

    fn expected(&self) -> String {
        "a text that is not empty".into()
    }

    fn read(&self, text: &str) -> Result<String, Problem> {
        if text.is_empty() {
            return Err(self.unexpected());
        }
        Ok(text.to_owned())
    }
}

/// A text that must not be shown, with a minimum length in bytes. If the minimum is 0, an empty text means that it is
/// not set.
pub(in crate::config) struct Secret {
    pub(in crate::config) least_bytes: usize,
    /// Describes a valid text.
    pub(in crate::config) expected: &'static str,
}

impl Form for Secret {
    type Value = SecretString;

    fn expected(&self) -> String {
        self.expected.into()
    }

    fn read(&self, text: &str) -> Result<SecretString, Problem> {
        if text.len() < self.least_bytes {
            let (expected, length) = (self.expected, text.len());
            return Err(Problem::Expected(format!("{expected}, not {length} bytes")));
        }
        Ok(text.into())
    }

    fn is_secret(&self) -> bool {
        true
    }
}

/// A duration within bounds.
pub(in crate::config) struct Span {
    pub(in crate::config) least: Duration,
    pub(in crate::config) most: Duration,
}

impl Form for Span {
    type Value = Duration;

    fn expected(&self) -> String {
        format!(
            "a whole number and a unit (500ms, 5s, 30m, 12h, 30d), from {} to {}",
            duration_text::write(self.least),
            duration_text::write(self.most)
        )
    }

    fn read(&self, text: &str) -> Result<Duration, Problem> {
        let within = |it: &Duration| (self.least..=self.most).contains(it);
        duration_text::parse(text)
            .filter(within)
            .ok_or_else(|| self.unexpected())
    }
}

/// A whole number within bounds.
pub(in crate::config) struct Number<T> {
    pub(in crate::config) least: T,
    pub(in crate::config) most: T,
}

impl<T: FromStr + PartialOrd + fmt::Display + Sync> Form for Number<T> {
    type Value = T;

    fn expected(&self) -> String {
        format!("a whole number from {} to {}", self.least, self.most)
    }

    fn read(&self, text: &str) -> Result<T, Problem> {
        let number = text.parse().ok();
        number
            .filter(|it| (&self.least..=&self.most).contains(&it))
            .ok_or_else(|| self.unexpected())
    }

    fn expected_in_toml(&self) -> String {
        self.expected()
    }

    fn text(&self, value: &toml::Value) -> Option<String> {
        let integer = value.as_integer().map(|it| it.to_string());
        integer.or_else(|| value.as_str().map(str::to_owned))
    }

    fn toml(&self, text: &str) -> String {
        text.to_owned()
    }
}

/// A Boolean.
pub(in crate::config) struct Switch;

impl Form for Switch {
    type Value = bool;

    fn expected(&self) -> String {
        "true or false".into()
    }

    fn read(&self, text: &str) -> Result<bool, Problem> {
        text.parse().map_err(|_| self.unexpected())
    }

    fn expected_in_toml(&self) -> String {
        self.expected()
    }

    fn text(&self, value: &toml::Value) -> Option<String> {
        let switch = value.as_bool().map(|it| it.to_string());
        switch.or_else(|| value.as_str().map(str::to_owned))
    }

    fn toml(&self, text: &str) -> String {
        text.to_owned()
    }
}

/// A value of another form, or none, which is written as an empty text.
pub(in crate::config) struct Optional<F>(pub(in crate::config) F);

impl<F: Form> Form for Optional<F> {
    type Value = Option<F::Value>;

    fn expected(&self) -> String {
        format!("{}, or nothing", self.0.expected())
    }

    fn read(&self, text: &str) -> Result<Option<F::Value>, Problem> {
        if text.is_empty() {
            return Ok(None);
        }
        self.0.read(text).map(Some)
    }
}

/// One of several words, each with its value.
pub(in crate::config) struct Choice<T: 'static>(pub(in crate::config) &'static [(&'static str, T)]);

impl<T: Copy + Sync> Form for Choice<T> {
    type Value = T;

    fn expected(&self) -> String {
        let words: Vec<&str> = self.0.iter().map(|(word, _)| *word).collect();
        format!("one of {}", words.join(", "))
    }

    fn read(&self, text: &str) -> Result<T, Problem> {
        let known = self.0.iter().find(|(word, _)| *word == text);
        known
            .map(|(_, value)| *value)
            .ok_or_else(|| self.unexpected())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_duration_is_a_whole_number_and_a_unit() {
        let millis = |text: &str| duration_text::parse(text).map(|it| it.as_millis());
        assert_eq!(millis("500ms"), Some(500));
        assert_eq!(millis("5s"), Some(5_000));
        assert_eq!(millis("30m"), Some(1_800_000));
        assert_eq!(millis("12h"), Some(43_200_000));
        assert_eq!(millis("30d"), Some(2_592_000_000));
        let bad = [
            "", "5", "s", "5 s", "-5s", "1.5s", "5S", "5sec", "1h30m", "٣s",
        ];
        for text in bad {
            assert_eq!(millis(text), None, "{text:?}");
        }
        assert_eq!(millis("99999999999999999999s"), None);
        assert_eq!(millis("18446744073709551615d"), None);
    }

    proptest! {
        #[test]
        fn a_duration_is_read_as_it_was_written(millis in 0_u64..100_000_000_000) {
            let written = Duration::from_millis(millis);
            prop_assert_eq!(duration_text::parse(&duration_text::write(written)), Some(written));
        }

        #[test]
        fn any_text_survives_quoting(text in any::<String>()) {
            let document: toml::Table = format!("key = {}", quoted(&text)).parse().unwrap();
            prop_assert_eq!(document["key"].as_str(), Some(text.as_str()));
            prop_assert!(!quoted(&text).contains('\n'));
        }
    }
}
