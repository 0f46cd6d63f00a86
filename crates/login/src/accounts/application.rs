//! Accounts that an application manages itself.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use secrecy::SecretString;
use skriptoteket_core::{
    clock::{Clock, Timestamp},
    error::{Cause, StoreError},
};

use super::{
    Account, AccountChange, AccountError, AccountRepository, NewAccount, Role, User, UserId,
    Username,
};

/// The accounts of an application. It creates, changes and deletes them itself; this crate only looks them up.
///
/// After a change of a role, of [`ApplicationAccount::disabled`] or of a password, and after a deletion, the application
/// applies the change to the sessions: see
/// [`AccountLifecycle::settle`](crate::account_lifecycle::AccountLifecycle::settle).
#[async_trait]
pub trait Accounts: fmt::Debug + Send + Sync {
    /// Returns the account with this user name, if there is one. User names are compared in the form that
    /// [`Username`] has: normalised and in lower case.
    ///
    /// # Errors
    ///
    /// The cause, if the accounts are unavailable. The login is answered with 503.
    async fn find(&self, username: &Username) -> Result<Option<ApplicationAccount>, Cause>;

    /// Returns the account with this ID, if there is one.
    ///
    /// # Errors
    ///
    /// As of [`Accounts::find`].
    async fn find_by_id(&self, id: UserId) -> Result<Option<ApplicationAccount>, Cause>;

    /// Replaces the hash of the same password if it is still `old`, after a login with a hash of other parameters. The
    /// default does nothing.
    ///
    /// # Errors
    ///
    /// As of [`Accounts::find`]; the login succeeds all the same.
    async fn upgrade_hash(
        &self,
        id: UserId,
        old: &SecretString,
        new: &SecretString,
    ) -> Result<(), Cause> {
        let _ = (id, old, new);
        Ok(())
    }
}

/// An account of an application.
#[derive(Clone, Debug)]
pub struct ApplicationAccount {
    /// The ID. It must never be used again for another user.
    pub id: UserId,
    /// The user name.
    pub username: Username,
    /// The role.
    pub role: Role,
    /// True if the user must not log in.
    pub disabled: bool,
    /// The Argon2id hash in PHC string format.
    pub password_hash: SecretString,
    /// The time of the last change of the role, of `disabled` or of the password, if the application knows it. Of two
    /// changes, sessions get the later one. Without it, each look-up counts as a change, which costs another call of the
    /// session store for each login.
    pub changed_at: Option<Timestamp>,
    /// Sessions that were started before this time have to end, because the password was changed.
    pub sessions_since: Option<Timestamp>,
}

impl ApplicationAccount {
    /// Creates an account that is not disabled.
    #[must_use]
    pub const fn new(
        id: UserId,
        username: Username,
        role: Role,
        password_hash: SecretString,
    ) -> Self {
        Self {
            id,
            username,
            role,
            disabled: false,
            password_hash,
            changed_at: None,
            sessions_since: None,
        }
    }
}

/// Adapts [`Accounts`] to the contract of account stores.
#[derive(Debug)]
pub struct ApplicationAccounts {
    accounts: Arc<dyn Accounts>,
    clock: Arc<dyn Clock>,
}

impl ApplicationAccounts {
    /// Adapts `accounts`.
    #[must_use]
    pub fn new(accounts: Arc<dyn Accounts>, clock: Arc<dyn Clock>) -> Self {
        Self { accounts, clock }
    }

    fn account(
        &self,
        found: Result<Option<ApplicationAccount>, Cause>,
    ) -> Result<Option<Account>, StoreError> {
        let found = found.map_err(StoreError::Unavailable)?;
        Ok(found.map(|account| Account {
            user: User {
                id: account.id,
                username: account.username,
                role: account.role,
                disabled: account.disabled,
                created_at: Timestamp::default(),
                version: account
                    .changed_at
                    .unwrap_or_else(|| self.clock.now())
                    .as_millis(),
                sessions_since: account.sessions_since.map_or(0, Timestamp::as_millis),
            },
            password_hash: account.password_hash,
        }))
    }
}

/// The error of calls that only a store of our own answers. No login makes them.
fn not_ours() -> StoreError {
    StoreError::Unavailable("the application manages its accounts itself".into())
}

#[async_trait]
impl AccountRepository for ApplicationAccounts {
    async fn add(&self, _: NewAccount) -> Result<User, StoreError> {
        Err(not_ours())
    }

    async fn find_by_username(&self, username: &Username) -> Result<Option<Account>, StoreError> {
        self.account(self.accounts.find(username).await)
    }

    async fn find(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        self.account(self.accounts.find_by_id(id).await)
    }

    async fn list(&self, _: Option<UserId>, _: u32) -> Result<Vec<User>, StoreError> {
        Err(not_ours())
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        Err(not_ours())
    }

    async fn change(&self, _: UserId, _: AccountChange) -> Result<Option<User>, AccountError> {
        Err(not_ours().into())
    }

    async fn replace_password(
        &self,
        _: UserId,
        _: &SecretString,
        _: &SecretString,
    ) -> Result<bool, StoreError> {
        Err(not_ours())
    }

    async fn upgrade_hash(
        &self,
        id: UserId,
        old: &SecretString,
        new: &SecretString,
    ) -> Result<bool, StoreError> {
        let upgraded = self.accounts.upgrade_hash(id, old, new).await;
        upgraded.map_err(StoreError::Unavailable)?;
        Ok(true)
    }

    async fn set_password(&self, _: UserId, _: &SecretString) -> Result<bool, StoreError> {
        Err(not_ours())
    }

    async fn delete(&self, _: UserId) -> Result<bool, AccountError> {
        Err(not_ours().into())
    }

    async fn unsettled(&self, _: u32) -> Result<Vec<User>, StoreError> {
        Ok(Vec::new())
    }

    async fn settle(&self, _: UserId, _: i64) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
