//! The form of the product name.

use skriptoteket_config::{Problem, forms::Form};

use crate::accounts::DisplayName;

use super::TomlForm;

/// A name to show in pages, with the rules of display names.
pub(in crate::config) struct ProductName;

impl Form for ProductName {
    type Value = String;

    fn expected(&self) -> String {
        format!(
            "1 to {} characters on one line, without control characters",
            DisplayName::MAX_CHARS
        )
    }

    fn read(&self, text: &str) -> Result<String, Problem> {
        let name: DisplayName = text.parse().map_err(|_| self.unexpected())?;
        Ok(name.as_str().to_owned())
    }
}

impl TomlForm for ProductName {}
