//! The profile of a user: what pages and applications show besides the login name. Both parts are optional.

use std::{fmt, str::FromStr};

use unicode_normalization::UnicodeNormalization;

/// The display name and the email address of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// The name to show.
    pub display_name: Option<DisplayName>,
    /// The email address. Nothing verifies that it belongs to the user, so only operators set it.
    pub email: Option<EmailAddress>,
}

impl Profile {
    /// Returns the display name as it is stored.
    #[must_use]
    pub fn display_name(&self) -> Option<&str> {
        self.display_name.as_ref().map(DisplayName::as_str)
    }

    /// Returns the email address as it is stored.
    #[must_use]
    pub fn email(&self) -> Option<&str> {
        self.email.as_ref().map(EmailAddress::as_str)
    }
}

/// A name to show: 1 to 100 characters in Unicode's NFC form, without surrounding white space.
///
/// It contains no control characters and none that change the direction of the text around it, because these could make
/// a name look like another one.
#[derive(Clone, PartialEq, Eq)]
pub struct DisplayName(String);

/// The text is not a display name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a display name: expected 1 to 100 characters on one line, without control characters")]
pub struct InvalidDisplayName;

impl DisplayName {
    /// Maximum length, in characters.
    pub const MAX_CHARS: usize = 100;

    /// Returns the name as it is stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DisplayName {
    type Err = InvalidDisplayName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        // The length is checked before normalisation, because the text is untrusted.
        if text.chars().take(Self::MAX_CHARS + 1).count() > Self::MAX_CHARS {
            return Err(InvalidDisplayName);
        }
        let name: String = text.nfc().collect();
        let visible = name.chars().any(|c| !c.is_whitespace() && !is_invisible(c));
        let fits = name.chars().count() <= Self::MAX_CHARS && !name.chars().any(is_forbidden);
        if fits && visible {
            Ok(Self(name))
        } else {
            Err(InvalidDisplayName)
        }
    }
}

impl fmt::Debug for DisplayName {
    /// Prints no name: names must not reach logs or telemetry.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DisplayName(…)")
    }
}

/// Control characters, line and paragraph separators, and the explicit directional formatting characters (Unicode
/// Standard Annex 9, section 2).
fn is_forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{61c}' | '\u{200e}' | '\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Characters that are not visible alone. Some are valid within names of some scripts and emoji.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2064}' | '\u{206a}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// An email address, at most 254 characters, as `<input type="email">` accepts it (HTML Living Standard, section
/// 4.10.5.1.5): ASCII, without comments and quoted local parts. The domain is stored in lower case.
#[derive(Clone, PartialEq, Eq)]
pub struct EmailAddress(String);

/// The text is not an email address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an email address: expected at most 254 ASCII characters, for example ada@example.org")]
pub struct InvalidEmailAddress;

impl EmailAddress {
    /// Maximum length, in bytes (RFC 5321, section 4.5.3.1.3, less the angle brackets).
    pub const MAX_BYTES: usize = 254;
    /// Maximum length of the part before the `@`, in bytes (RFC 5321, section 4.5.3.1.1).
    const MAX_LOCAL_BYTES: usize = 64;
    /// Maximum length of a label of the domain, in bytes (RFC 1035, section 2.3.4).
    const MAX_LABEL_BYTES: usize = 63;

    /// Returns the address as it is stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EmailAddress {
    type Err = InvalidEmailAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim_matches(' ');
        let (local, domain) = text.rsplit_once('@').ok_or(InvalidEmailAddress)?;
        let in_local =
            |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte);
        let is_label = |label: &str| {
            let in_label = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            (1..=Self::MAX_LABEL_BYTES).contains(&label.len())
                && label.bytes().all(in_label)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let fits = text.len() <= Self::MAX_BYTES
            && (1..=Self::MAX_LOCAL_BYTES).contains(&local.len())
            && local.bytes().all(in_local)
            && domain.split('.').all(is_label);
        if fits {
            Ok(Self(format!("{local}@{}", domain.to_ascii_lowercase())))
        } else {
            Err(InvalidEmailAddress)
        }
    }
}

impl fmt::Debug for EmailAddress {
    /// Prints no address: addresses must not reach logs or telemetry.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailAddress(…)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_display_name_is_visible_text_on_one_line() {
        let name = |text: &str| text.parse::<DisplayName>().map(|it| it.0);
        for (text, stored) in [
            (" Ada Lovelace ", "Ada Lovelace"),
            ("A\u{30a}sa <b>", "\u{c5}sa <b>"),
            ("\u{1f468}\u{200d}\u{1f52c}", "\u{1f468}\u{200d}\u{1f52c}"),
            (
                "\u{645}\u{627}\u{631}\u{6cc}\u{200c}\u{627}",
                "\u{645}\u{627}\u{631}\u{6cc}\u{200c}\u{627}",
            ),
        ] {
            assert_eq!(name(text), Ok(stored.to_owned()));
        }
        assert!(name(&"\u{e5}".repeat(100)).is_ok());
        for bad in [
            "",
            "  ",
            "Ada\nLovelace",
            "a\0b",
            "\u{202e}adA",
            "Ada\u{2066}",
            "a\u{200f}b",
            "a\u{2028}b",
            "\u{200b}",
            "\u{feff}\u{200d}",
            "\u{3164}\u{2800}",
            "\u{e0061}",
            &"a".repeat(101),
        ] {
            assert_eq!(name(bad), Err(InvalidDisplayName), "{bad:?}");
        }
    }

    #[test]
    fn an_email_address_is_one_that_browsers_accept() {
        let address = |text: &str| text.parse::<EmailAddress>().map(|it| it.0);
        assert_eq!(
            address("Ada.Lovelace+x@Example.ORG"),
            Ok("Ada.Lovelace+x@example.org".into())
        );
        for good in ["a@b", "o'hara@example.org", "a@xn--nxasmq6b.example"] {
            assert_eq!(address(good), Ok(good.into()));
        }
        let long_local = format!("{}@example.org", "a".repeat(65));
        let long_label = format!("a@{}.org", "b".repeat(64));
        let long = format!(
            "a@{}",
            [
                "b".repeat(60),
                "c".repeat(60),
                "d".repeat(60),
                "e".repeat(60),
                "f".repeat(20)
            ]
            .join(".")
        );
        for bad in [
            "",
            "ada",
            "@example.org",
            "ada@",
            "ada@example..org",
            "ada@-example.org",
            "ada@example-.org",
            "ada@exa_mple.org",
            "ada@[192.0.2.7]",
            "a b@example.org",
            "\"a b\"@example.org",
            "ada@example.org\r\nBcc: eve@example.org",
            "ada@example.org,eve@example.org",
            "Ada <ada@example.org>",
            "ada@ex\u{e4}mple.org",
            &long_local,
            &long_label,
            &long,
        ] {
            assert_eq!(address(bad), Err(InvalidEmailAddress), "{bad:?}");
        }
    }

    #[test]
    fn neither_is_shown_by_debug() {
        let profile = Profile {
            display_name: Some("Ada".parse().unwrap()),
            email: Some("ada@example.org".parse().unwrap()),
        };
        let shown = format!("{profile:?}");
        assert!(
            !shown.contains("Ada") && !shown.contains("example"),
            "{shown}"
        );
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_accepted_as_it_is_stored(text in "\\PC{0,110}", address in "[ -~]{1,20}@[ -~]{1,20}") {
            if let Ok(name) = text.parse::<DisplayName>() {
                prop_assert_eq!(name.as_str().parse::<DisplayName>(), Ok(name.clone()));
            }
            if let Ok(address) = address.parse::<EmailAddress>() {
                prop_assert_eq!(address.as_str().parse::<EmailAddress>(), Ok(address.clone()));
            }
        }
    }
}
