//! The syntax of values: each form parses a text and describes what it expects.

use std::{
    fmt::{self, Write},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use secrecy::SecretString;
use skriptoteket_core::duration_text;
use url::Url;

use crate::faults::Problem;

/// The syntax of one kind of value.
pub trait Form: Sync {
    /// The type of the parsed value.
    type Value;

    /// Describes a valid text; completes the word "expected".
    fn expected(&self) -> String;

    /// Parses the text.
    ///
    /// # Errors
    ///
    /// [`Problem`] if the text does not have the expected form.
    fn read(&self, text: &str) -> Result<Self::Value, Problem>;

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
#[must_use]
pub fn quoted(text: &str) -> String {
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
#[derive(Clone, Copy, Debug)]
pub struct FilePath;

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
#[derive(Clone, Copy, Debug)]
pub struct Text;

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
#[derive(Clone, Copy, Debug)]
pub struct Secret {
    /// The minimum length, in bytes.
    pub least_bytes: usize,
    /// Describes a valid text.
    pub expected: &'static str,
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
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// The minimum.
    pub least: Duration,
    /// The maximum.
    pub most: Duration,
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
#[derive(Clone, Copy, Debug)]
pub struct Number<T> {
    /// The minimum.
    pub least: T,
    /// The maximum.
    pub most: T,
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
}

/// A Boolean.
#[derive(Clone, Copy, Debug)]
pub struct Switch;

impl Form for Switch {
    type Value = bool;

    fn expected(&self) -> String {
        "true or false".into()
    }

    fn read(&self, text: &str) -> Result<bool, Problem> {
        text.parse().map_err(|_| self.unexpected())
    }
}

/// A value of another form, or none, which is written as an empty text.
#[derive(Clone, Copy, Debug)]
pub struct Optional<F>(pub F);

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
#[derive(Clone, Copy, Debug)]
pub struct Choice<T: 'static>(pub &'static [(&'static str, T)]);

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

/// Returns true if the URL contains a user name or a password, which must not be shown.
#[must_use]
pub fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
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
    }
}
