//! Who a user is to every part of the service: an id, a login name and a role.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use uuid::Uuid;

use crate::metric::Label;

/// Identifies an account for ever: a `UUIDv7`, made by the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(Uuid);

impl UserId {
    /// A new id.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id as its UUID.
    #[must_use]
    pub const fn as_uuid(&self) -> &Uuid {
        &self.0
    }
}

impl From<Uuid> for UserId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for UserId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

/// What an account may do, in rising order. Nothing else is a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Role {
    /// Uses the applications behind the door.
    User = 0,
    /// Also adds to them.
    Contributor = 1,
    /// Also sees and ends the sessions of others.
    Admin = 2,
    /// Also manages accounts.
    Superuser = 3,
}

impl Role {
    /// Every role, lowest first; `ALL[role.index()] == role`.
    pub const ALL: [Self; 4] = [Self::User, Self::Contributor, Self::Admin, Self::Superuser];

    /// The names of the roles, in the order of [`Role::ALL`].
    pub const NAMES: [&'static str; 4] = ["user", "contributor", "admin", "superuser"];

    /// The place of this role in [`Role::ALL`] and in every per-role array of the crate.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The role's name, as in the API and in the `role` label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        Self::NAMES[self.index()]
    }

    /// The role at `index`, if there is one.
    #[must_use]
    pub fn from_index(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
    }
}

impl Label for Role {
    const KEY: &'static str = "role";
    const ALL: &'static [Self] = &Self::ALL;
    const VALUES: &'static [&'static str] = &Self::NAMES;

    fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is no role.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a role: expected one of user, contributor, admin, superuser")]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut roles = Self::ALL.into_iter();
        roles.find(|role| role.as_str() == text).ok_or(UnknownRole)
    }
}

/// A login name: 1 to 64 letters, digits or `. _ - @ +`, beginning with a letter or digit.
///
/// Compared without regard to case: it is kept in lower case and in Unicode's NFKC form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Username(String);

/// The text is no login name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a user name: expected 1 to 64 letters, digits or . _ - @ +, beginning with a letter or digit"
)]
pub struct InvalidUsername;

impl Username {
    /// The longest name, in characters.
    pub const MAX_CHARS: usize = 64;

    /// The name as it is stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Username {
    type Err = InvalidUsername;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Bounded before it is normalised: the text comes from anyone.
        if text.chars().take(Self::MAX_CHARS + 1).count() > Self::MAX_CHARS {
            return Err(InvalidUsername);
        }
        let name: String = if text.is_ascii() {
            // Normal as it is. Each read of a session reads a name, and most are of this kind.
            text.to_ascii_lowercase()
        } else {
            text.nfkc().flat_map(char::to_lowercase).nfkc().collect()
        };
        let allowed = |c: char| c.is_alphanumeric() || ".-_@+".contains(c);
        let fits = name.chars().count() <= Self::MAX_CHARS && name.chars().all(allowed);
        if fits && name.starts_with(char::is_alphanumeric) {
            Ok(Self(name))
        } else {
            Err(InvalidUsername)
        }
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Username {
    /// Shows nothing: names reach neither logs nor telemetry.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Username(…)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_role_is_its_index_and_its_name() {
        for (index, role) in Role::ALL.into_iter().enumerate() {
            assert_eq!(role.index(), index);
            assert_eq!(Role::from_index(index), Some(role));
            assert_eq!(role.as_str().parse(), Ok(role));
            assert_eq!(
                serde_json::to_value(role).unwrap(),
                serde_json::json!(role.as_str())
            );
        }
        assert_eq!("root".parse::<Role>(), Err(UnknownRole));
        assert!(Role::User < Role::Contributor && Role::Admin < Role::Superuser);
    }

    #[test]
    fn names_are_compared_without_case_or_form() {
        let name = |text: &str| text.parse::<Username>().map(|name| name.0);
        assert_eq!(name("Ada.Lovelace"), Ok("ada.lovelace".into()));
        assert_eq!(name("A\u{30a}sa"), Ok("\u{e5}sa".into()));
        assert_eq!(name("ａｄａ"), Ok("ada".into()));
        let too_long = "a".repeat(65);
        for bad in [
            "",
            " ada",
            "ada lovelace",
            ".ada",
            "a\0b",
            "a/b",
            "<b>",
            &too_long,
        ] {
            assert_eq!(name(bad), Err(InvalidUsername), "{bad:?}");
        }
    }

    #[test]
    fn a_name_is_not_shown_by_debug() {
        let name: Username = "ada".parse().unwrap();
        assert!(!format!("{name:?}").contains("ada"));
    }

    proptest! {
        #[test]
        fn a_name_that_is_accepted_is_accepted_as_it_is_stored(text in "\\PC{0,70}") {
            if let Ok(name) = text.parse::<Username>() {
                prop_assert_eq!(name.as_str().parse::<Username>(), Ok(name.clone()));
            }
        }
    }
}
