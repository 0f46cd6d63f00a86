//! Colours, and their contrast.

use std::{fmt, str::FromStr};

/// A colour in sRGB. Its text is `#rrggbb`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Color([u8; 3]);

/// The text is not a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a color: expected # and six hexadecimal digits")]
pub struct InvalidColor;

/// The background of the pages in the light theme.
pub const LIGHT: Color = Color([0xff, 0xff, 0xff]);
/// The background of the pages in the dark theme.
pub const DARK: Color = Color([0x14, 0x17, 0x1a]);

/// The minimum contrast of text (WCAG 2.2, success criterion 1.4.3).
pub const MIN_CONTRAST: f64 = 4.5;

impl Color {
    /// Returns the contrast ratio of two colours, 1 to 21 (WCAG 2.2, "contrast ratio").
    #[must_use]
    pub fn contrast(self, other: Self) -> f64 {
        let (a, b) = (self.luminance(), other.luminance());
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// The relative luminance (WCAG 2.2, "relative luminance").
    fn luminance(self) -> f64 {
        let [red, green, blue] = self.0.map(|channel| {
            let channel = f64::from(channel) / 255.0;
            if channel <= 0.04045 {
                channel / 12.92
            } else {
                ((channel + 0.055) / 1.055).powf(2.4)
            }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
}

impl FromStr for Color {
    type Err = InvalidColor;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix('#').ok_or(InvalidColor)?;
        if digits.len() != 6 || !digits.bytes().all(|it| it.is_ascii_hexdigit()) {
            return Err(InvalidColor);
        }
        let value = u32::from_str_radix(digits, 16).map_err(|_| InvalidColor)?;
        let [_, red, green, blue] = value.to_be_bytes();
        Ok(Self([red, green, blue]))
    }
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn color(text: &str) -> Color {
        text.parse().unwrap()
    }

    #[test]
    fn contrast_is_that_of_the_standard() {
        let near = |a: f64, b: f64| (a - b).abs() < 0.005;
        assert!(near(LIGHT.contrast(color("#000000")), 21.0));
        assert!(near(LIGHT.contrast(LIGHT), 1.0));
        // The two greys next to the limit on white.
        assert!(near(LIGHT.contrast(color("#767676")), 4.54));
        assert!(near(color("#777777").contrast(LIGHT), 4.48));
    }

    #[test]
    fn a_color_has_six_hexadecimal_digits() {
        assert_eq!(color("#1D4eD8").to_string(), "#1d4ed8");
        for bad in [
            "", "1d4ed8", "#1d4ed", "#1d4ed88", "#1d4edg", "#+d4ed8", "red", "#é4ed",
        ] {
            assert_eq!(bad.parse::<Color>(), Err(InvalidColor), "{bad}");
        }
    }
}
