//! Accounts: who may log in, under which role.
//!
//! The rules of names, roles and passwords live here, and the trait that a store of accounts keeps.

mod hashing;
pub mod password;
pub mod registration;
mod strength;

use std::{fmt, str::FromStr};

use async_trait::async_trait;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use uuid::Uuid;

use crate::{clock::Timestamp, error::StoreError, telemetry::instruments::ROLES};

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

    /// The place of this role in [`Role::ALL`] and in every per-role array of the crate.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The role's name, as in the API and in the `role` label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        ROLES[self.index()]
    }

    /// The role at `index`, if there is one.
    #[must_use]
    pub fn from_index(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
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

/// An account as everyone but the password check sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The account's id.
    pub id: UserId,
    /// The login name.
    pub username: Username,
    /// The role.
    pub role: Role,
    /// True where the account may not log in.
    pub disabled: bool,
    /// When the account was made.
    pub created_at: Timestamp,
    /// Rises with every change of role, of `disabled` or of the password; see [`AccountRepository::unsettled`]. It is the time of
    /// that change in ms since the Unix epoch, or one more than the version before: so it also rises above versions that were
    /// lost with a restored backup.
    pub version: i64,
    /// Sessions that were started under an older version have to end: the password was changed then, or the account disabled. 0 if
    /// neither has happened.
    pub sessions_since: i64,
}

/// An account with its password hash.
#[derive(Clone, Debug)]
pub struct Account {
    /// The account.
    pub user: User,
    /// The Argon2id hash in PHC string format.
    pub password_hash: SecretString,
}

/// An account to be added.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// The login name; must be free.
    pub username: Username,
    /// The role.
    pub role: Role,
    /// The Argon2id hash in PHC string format.
    pub password_hash: SecretString,
}

/// What to change of an account; `None` leaves it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountChange {
    /// The new role.
    pub role: Option<Role>,
    /// Whether the account is disabled.
    pub disabled: Option<bool>,
}

/// Why an account was not changed or deleted.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// It would leave no superuser who can log in.
    #[error("the last superuser cannot be demoted, disabled or deleted")]
    LastSuperuser,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AccountError {
    /// The outcome in the audit trail.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::LastSuperuser => "last_superuser",
            Self::Store(error) => error.reason(),
        }
    }
}

/// A place that keeps accounts.
///
/// Every method is one atomic step. All fail with [`StoreError::Unavailable`] if the store does not answer within
/// its timeout, and with [`StoreError::Corrupt`] if a row cannot be read.
#[async_trait]
pub trait AccountRepository: fmt::Debug + Send + Sync {
    /// Adds an account, with a new id. Its version is the present time.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if the name is taken.
    async fn add(&self, account: NewAccount) -> Result<User, StoreError>;

    /// The account with this name, if there is one.
    async fn find_by_username(&self, username: &Username) -> Result<Option<Account>, StoreError>;

    /// The account with this id, if there is one.
    async fn find(&self, id: UserId) -> Result<Option<Account>, StoreError>;

    /// At most `limit` accounts in the order of their ids, which is the order they were made in, from the first
    /// after `after`.
    async fn list(&self, after: Option<UserId>, limit: u32) -> Result<Vec<User>, StoreError>;

    /// True where there is no account at all.
    async fn is_empty(&self) -> Result<bool, StoreError>;

    /// Changes role or `disabled`, raises the version and marks the account unsettled. A change that changes nothing
    /// does neither. An account that is disabled has no session older than that version. Returns the account as it is now, or `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`AccountError::LastSuperuser`] if no enabled superuser would be left.
    async fn change(&self, id: UserId, change: AccountChange)
    -> Result<Option<User>, AccountError>;

    /// Replaces the password if its hash still is `old`, raises the version and marks the account unsettled: sessions that were
    /// started under an older version have to end. Returns whether it was replaced.
    async fn replace_password(
        &self,
        id: UserId,
        old: &SecretString,
        new: &SecretString,
    ) -> Result<bool, StoreError>;

    /// Replaces the hash of the same password, if it still is `old`: sessions go on. Returns whether it was replaced.
    async fn upgrade_hash(
        &self,
        id: UserId,
        old: &SecretString,
        new: &SecretString,
    ) -> Result<bool, StoreError>;

    /// Sets the password, whatever it was, with the consequences of
    /// [`replace_password`](AccountRepository::replace_password). Returns whether there is such an account.
    async fn set_password(&self, id: UserId, hash: &SecretString) -> Result<bool, StoreError>;

    /// Deletes an account. Returns whether there was one. Its sessions are not this repository's: end them.
    ///
    /// # Errors
    ///
    /// [`AccountError::LastSuperuser`] if no enabled superuser would be left.
    async fn delete(&self, id: UserId) -> Result<bool, AccountError>;

    /// At most `limit` accounts whose change may not have reached their sessions yet.
    ///
    /// Accounts and sessions may live in different stores, so no transaction spans both. A change is written here
    /// first, with this mark; whoever then brings it to the sessions calls [`AccountRepository::settle`]. If that one
    /// dies in between, the mark stays and the next one does the work.
    async fn unsettled(&self, limit: u32) -> Result<Vec<User>, StoreError>;

    /// Takes the mark off if the account still has this version. Returns false if it has another one, whose change
    /// then has to be brought to the sessions; an account that is gone counts as settled.
    async fn settle(&self, id: UserId, version: i64) -> Result<bool, StoreError>;

    /// Answers if the store does.
    async fn ping(&self) -> Result<(), StoreError>;
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
