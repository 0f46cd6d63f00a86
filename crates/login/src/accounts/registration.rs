//! Registration: the rules for creating accounts and setting passwords.

use std::sync::Arc;

use secrecy::SecretString;

use super::{
    Account, AccountRepository, InvalidUsername, NewAccount, Profile, Role, User, Username,
    password::{HashingError, NewPasswordError, Passwords, WeakPassword},
};
use skriptoteket_core::error::StoreError;

/// Creates accounts and sets passwords. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Registrar {
    accounts: Arc<dyn AccountRepository>,
    passwords: Passwords,
}

/// Why an account was not created, or a password not set.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The name is not a valid user name.
    #[error(transparent)]
    Name(#[from] InvalidUsername),
    /// The password is too weak.
    #[error(transparent)]
    Weak(#[from] WeakPassword),
    /// An account with this name exists.
    #[error("the user name is taken")]
    AlreadyExists,
    /// The account no longer exists, or its password was changed in the meantime.
    #[error("there is no such account")]
    NotFound,
    /// All password hashing threads are busy and the queue is full.
    #[error("too many passwords are being hashed at once")]
    Overloaded,
    /// A store failed.
    #[error(transparent)]
    Store(StoreError),
    /// The hash function failed.
    #[error(transparent)]
    Hash(HashingError),
}

impl RegisterError {
    /// Returns the outcome for the audit trail.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Name(_) => "invalid_request",
            Self::Weak(_) => "weak_password",
            Self::AlreadyExists => "conflict",
            Self::NotFound => "not_found",
            Self::Store(error) => error.reason(),
            Self::Overloaded | Self::Hash(_) => "internal_error",
        }
    }
}

impl From<StoreError> for RegisterError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict => Self::AlreadyExists,
            other => Self::Store(other),
        }
    }
}

impl From<HashingError> for RegisterError {
    fn from(error: HashingError) -> Self {
        match error {
            HashingError::Overloaded => Self::Overloaded,
            other => Self::Hash(other),
        }
    }
}

impl From<NewPasswordError> for RegisterError {
    fn from(error: NewPasswordError) -> Self {
        match error {
            NewPasswordError::Weak(weak) => Self::Weak(weak),
            NewPasswordError::Hashing(error) => error.into(),
        }
    }
}

impl Registrar {
    /// Creates a registrar for these accounts.
    #[must_use]
    pub fn new(accounts: Arc<dyn AccountRepository>, passwords: Passwords) -> Self {
        Self {
            accounts,
            passwords,
        }
    }

    /// Creates an account.
    ///
    /// # Errors
    ///
    /// [`RegisterError`]; no account was created.
    pub async fn register(
        &self,
        username: &str,
        role: Role,
        profile: Profile,
        password: SecretString,
    ) -> Result<User, RegisterError> {
        let username: Username = username.parse()?;
        let password_hash = self.hash_new(&username, password).await?;
        let account = NewAccount {
            username,
            role,
            profile,
            password_hash,
        };
        Ok(self.accounts.add(account).await?)
    }

    /// Sets the password of an account. Its sessions end once [`AccountLifecycle::settle`](crate::account_lifecycle::AccountLifecycle::settle)
    /// has run, called by the caller or by the reaper.
    ///
    /// # Errors
    ///
    /// [`RegisterError`]; the old password stays.
    pub async fn set_password(
        &self,
        user: &User,
        password: SecretString,
    ) -> Result<(), RegisterError> {
        let hash = self.hash_new(&user.username, password).await?;
        if self.accounts.set_password(user.id, &hash).await? {
            Ok(())
        } else {
            Err(RegisterError::NotFound)
        }
    }

    /// Sets the password of an account if it is still the password of `account`, so that of two concurrent changes only
    /// one succeeds. Its sessions end as with [`set_password`](Self::set_password).
    ///
    /// # Errors
    ///
    /// [`RegisterError`]; the old password stays. [`RegisterError::NotFound`] if the password was changed in the
    /// meantime.
    pub async fn replace_password(
        &self,
        account: &Account,
        password: SecretString,
    ) -> Result<(), RegisterError> {
        let Account {
            user,
            password_hash,
        } = account;
        let hash = self.hash_new(&user.username, password).await?;
        let replaced = self
            .accounts
            .replace_password(user.id, password_hash, &hash)
            .await?;
        if replaced {
            Ok(())
        } else {
            Err(RegisterError::NotFound)
        }
    }

    async fn hash_new(
        &self,
        username: &Username,
        password: SecretString,
    ) -> Result<SecretString, RegisterError> {
        let related = vec![username.as_str().to_owned()];
        Ok(self.passwords.hash_new(password, related).await?)
    }
}
