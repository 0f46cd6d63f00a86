//! The forms of service settings: rates and audiences.

use skriptoteket_config::{
    Problem,
    forms::{Form, quoted},
};
use url::Url;

use super::TomlForm;
use crate::services::Rate;

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

impl TomlForm for RateForm {}

/// The audiences of tokens: URLs, the first of which is the default; an array in TOML, or a comma-separated text.
pub(in crate::config) struct Audiences;

impl Form for Audiences {
    type Value = Vec<String>;

    fn expected(&self) -> String {
        "up to 32 absolute URLs without a fragment, for example https://api.example.org".into()
    }

    fn read(&self, text: &str) -> Result<Vec<String>, Problem> {
        let items: Vec<&str> = text.split(',').map(str::trim).collect();
        let right = |item: &&str| {
            // Kept as written, because tokens contain it in this form.
            Url::parse(item).is_ok_and(|url| url.fragment().is_none()) && item.len() <= 256
        };
        if items.len() > 32 || !items.iter().all(right) {
            return Err(self.unexpected());
        }
        Ok(items.into_iter().map(str::to_owned).collect())
    }
}

impl TomlForm for Audiences {
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
