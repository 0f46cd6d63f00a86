//! Accounts: which users may log in, and with which role.
//!
//! Contains the password rules and the trait that an account store implements. The rules for names and roles are in
//! [`user`](skriptoteket_core::user).

mod application;
mod hashing;
pub mod metrics;
pub mod password;
mod profile;
#[cfg(feature = "registration")]
pub mod registration;
#[cfg(feature = "registration")]
mod strength;

use std::fmt;

use async_trait::async_trait;
use secrecy::SecretString;

use skriptoteket_core::{clock::Timestamp, error::StoreError};

pub use application::{Accounts, ApplicationAccount, ApplicationAccounts};
pub use profile::{DisplayName, EmailAddress, InvalidDisplayName, InvalidEmailAddress, Profile};
pub use skriptoteket_core::user::{InvalidUsername, Role, UnknownRole, UserId, Username};

/// An account without its password hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The account's id.
    pub id: UserId,
    /// The login name.
    pub username: Username,
    /// The role.
    pub role: Role,
    /// True if the account is disabled: its user cannot log in.
    pub disabled: bool,
    /// The display name and the email address.
    pub profile: Profile,
    /// When the account was created.
    pub created_at: Timestamp,
    /// Increases with every change of the role, of `disabled` or of the password; see [`AccountRepository::unsettled`].
    /// It is the time of that change in ms since the Unix epoch, or one more than the previous version, whichever is
    /// greater. So it also exceeds versions that were lost by restoring a backup.
    pub version: i64,
    /// Sessions that were started under an older version have to end, because the password was changed or the account
    /// disabled at this version. 0 if neither has happened.
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

/// An account to create.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// The login name; must not be taken.
    pub username: Username,
    /// The role.
    pub role: Role,
    /// The display name and the email address.
    pub profile: Profile,
    /// The Argon2id hash in PHC string format.
    pub password_hash: SecretString,
}

/// The change of an optional value: `None` leaves it unchanged, `Some(None)` removes it.
pub type OptionalChange<T> = Option<Option<T>>;

/// The changes to an account; `None` leaves a value unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountChange {
    /// The new role.
    pub role: Option<Role>,
    /// The new state: true to disable the account.
    pub disabled: Option<bool>,
    /// The new display name.
    pub display_name: OptionalChange<DisplayName>,
    /// The new email address.
    pub email: OptionalChange<EmailAddress>,
}

/// Why an account was not changed or deleted.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The change would leave no superuser who can log in.
    #[error("the last superuser cannot be demoted, disabled or deleted")]
    LastSuperuser,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AccountError {
    /// Returns the outcome for the audit trail.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::LastSuperuser => "last_superuser",
            Self::Store(error) => error.reason(),
        }
    }
}

/// A repository of accounts.
///
/// Every method is one atomic step. All fail with [`StoreError::Unavailable`] if the store does not respond within its
/// timeout, and with [`StoreError::Corrupt`] if a row cannot be read.
#[async_trait]
pub trait AccountRepository: fmt::Debug + Send + Sync {
    /// Creates an account with a new id. Its version is the current time.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if the name is taken.
    async fn add(&self, account: NewAccount) -> Result<User, StoreError>;

    /// Returns the account with this name, if there is one.
    async fn find_by_username(&self, username: &Username) -> Result<Option<Account>, StoreError>;

    /// Returns the account with this id, if there is one.
    async fn find(&self, id: UserId) -> Result<Option<Account>, StoreError>;

    /// Returns at most `limit` accounts, beginning after `after`, in the order of their ids, which is the order of
    /// their creation.
    async fn list(&self, after: Option<UserId>, limit: u32) -> Result<Vec<User>, StoreError>;

    /// Returns true if there are no accounts.
    async fn is_empty(&self) -> Result<bool, StoreError>;

    /// Changes the account. A change of the role or of `disabled` increases the version and marks the account unsettled;
    /// a change of the profile, and one without effect, does neither. Sessions of a disabled account that are older
    /// than that version have to end. Returns the account as it is now, or `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// [`AccountError::LastSuperuser`] if no enabled superuser would remain.
    async fn change(&self, id: UserId, change: AccountChange)
    -> Result<Option<User>, AccountError>;

    /// Replaces the password if its hash is still `old`, increases the version and marks the account unsettled:
    /// sessions that were started under an older version have to end. Returns whether it was replaced.
    async fn replace_password(
        &self,
        id: UserId,
        old: &SecretString,
        new: &SecretString,
    ) -> Result<bool, StoreError>;

    /// Replaces the hash of the same password if it is still `old`. Sessions continue. Returns whether it was replaced.
    async fn upgrade_hash(
        &self,
        id: UserId,
        old: &SecretString,
        new: &SecretString,
    ) -> Result<bool, StoreError>;

    /// Sets the password regardless of the previous one, with the same effects as
    /// [`replace_password`](AccountRepository::replace_password). Returns whether the account exists.
    async fn set_password(&self, id: UserId, hash: &SecretString) -> Result<bool, StoreError>;

    /// Deletes an account. Returns whether it existed. The caller has to end its sessions.
    ///
    /// # Errors
    ///
    /// [`AccountError::LastSuperuser`] if no enabled superuser would remain.
    async fn delete(&self, id: UserId) -> Result<bool, AccountError>;

    /// Returns at most `limit` accounts whose change may not have reached their sessions yet.
    ///
    /// Accounts and sessions may be in different stores, so no transaction spans both. A change is written here first,
    /// together with this mark. The process that then applies it to the sessions calls [`AccountRepository::settle`].
    /// If it dies in between, the mark stays and another process applies the change.
    async fn unsettled(&self, limit: u32) -> Result<Vec<User>, StoreError>;

    /// Removes the mark if the account still has this version. Returns false if it has another version, whose change
    /// then has to be applied to the sessions. A deleted account counts as settled.
    async fn settle(&self, id: UserId, version: i64) -> Result<bool, StoreError>;

    /// Succeeds if the store responds.
    async fn ping(&self) -> Result<(), StoreError>;
}
