//! Accounts: who may log in, under which role.
//!
//! The rules of passwords are here, and the trait that a store of accounts implements. Those of names and roles are in
//! [`user`](crate::user).

mod hashing;
pub mod metrics;
pub mod password;
pub mod registration;
mod strength;

use std::fmt;

use async_trait::async_trait;
use secrecy::SecretString;

use crate::{clock::Timestamp, error::StoreError};

pub use crate::user::{InvalidUsername, Role, UnknownRole, UserId, Username};

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
