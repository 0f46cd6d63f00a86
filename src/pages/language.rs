//! The language of a page.

use super::texts::{ENGLISH, SWEDISH, Texts};

/// A language of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// Swedish.
    Swedish,
}

impl Language {
    /// Returns the language tag (BCP 47).
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Swedish => "sv",
        }
    }

    pub(super) fn texts(self) -> &'static Texts {
        match self {
            Self::English => &ENGLISH,
            Self::Swedish => &SWEDISH,
        }
    }

    /// Returns the first of these languages that the pages have: `preferred` are language ranges (RFC 4647), the best
    /// first. English if there is none.
    #[must_use]
    pub fn preferred<'a>(preferred: impl IntoIterator<Item = &'a str>) -> Self {
        for range in preferred {
            let primary = range.split('-').next().unwrap_or_default();
            for language in [Self::English, Self::Swedish] {
                if primary.eq_ignore_ascii_case(language.tag()) {
                    return language;
                }
            }
        }
        Self::English
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_language_that_exists_is_taken() {
        for (ranges, expected) in [
            (&["sv-SE", "en"][..], Language::Swedish),
            (&["de", "SV"], Language::Swedish),
            (&["en-GB", "sv"], Language::English),
            (&["*"], Language::English),
            (&["svx"], Language::English),
            (&[], Language::English),
        ] {
            assert_eq!(Language::preferred(ranges.iter().copied()), expected);
        }
    }
}
