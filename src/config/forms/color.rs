//! The form of colours.

use skriptoteket_config::{Problem, forms::Form};

use crate::pages::{Color, MIN_CONTRAST};

use super::TomlForm;

/// A colour of text and buttons on this background.
pub(in crate::config) struct AccentColor(pub(in crate::config) Color);

impl Form for AccentColor {
    type Value = Color;

    fn expected(&self) -> String {
        format!(
            "# and six hexadecimal digits, with a contrast of at least {MIN_CONTRAST}:1 to the background {}",
            self.0
        )
    }

    fn read(&self, text: &str) -> Result<Color, Problem> {
        let color: Color = text.parse().map_err(|_| self.unexpected())?;
        if color.contrast(self.0) < MIN_CONTRAST {
            return Err(self.unexpected());
        }
        Ok(color)
    }
}

impl TomlForm for AccentColor {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::{DARK, LIGHT};

    #[test]
    fn a_color_is_readable_on_its_background() {
        let accepts = |background, text| AccentColor(background).read(text).is_ok();
        assert!(accepts(LIGHT, "#767676") && !accepts(LIGHT, "#777777"));
        assert!(accepts(DARK, "#93c5fd") && !accepts(DARK, "#1d4ed8"));
        assert!(!accepts(LIGHT, "blue"));
    }
}
