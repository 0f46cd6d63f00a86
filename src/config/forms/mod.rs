//! The syntax of values in TOML, and the forms of settings that only the server has.

mod color;
mod log_filter;
mod network;
mod product_name;
mod service;

use std::{fmt, str::FromStr};

use skriptoteket_config::{
    forms::{Choice, FilePath, Form, Number, Optional, Secret, Span, Switch, Text, quoted},
    redis_url::{KeyPrefix, RedisUser},
};

pub(in crate::config) use color::AccentColor;
pub(in crate::config) use log_filter::LogFilter;
pub(in crate::config) use network::{Address, Networks, WebOrigin};
pub(in crate::config) use product_name::ProductName;
pub(in crate::config) use service::{Audiences, RateForm};

/// The syntax of one kind of value in the configuration file.
pub(in crate::config) trait TomlForm: Form {
    /// Describes a valid value in the file.
    fn expected_in_toml(&self) -> String {
        format!("{}, written in quotes", self.expected())
    }

    /// Returns the text in a TOML value; `None` if this form does not accept its type.
    fn text(&self, value: &toml::Value) -> Option<String> {
        value.as_str().map(str::to_owned)
    }

    /// Formats the text as a TOML value.
    fn toml(&self, text: &str) -> String {
        quoted(text)
    }
}

impl TomlForm for FilePath {}

impl TomlForm for Text {}

impl TomlForm for Secret {}

impl TomlForm for Span {}

impl TomlForm for RedisUser {}

impl TomlForm for KeyPrefix {}

impl<F: Form> TomlForm for Optional<F> {}

impl<T: Copy + Sync> TomlForm for Choice<T> {}

impl<T: FromStr + PartialOrd + fmt::Display + Sync> TomlForm for Number<T> {
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

impl TomlForm for Switch {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_survives_quoting(text in any::<String>()) {
            let document: toml::Table = format!("key = {}", quoted(&text)).parse().unwrap();
            prop_assert_eq!(document["key"].as_str(), Some(text.as_str()));
            prop_assert!(!quoted(&text).contains('\n'));
        }
    }
}
