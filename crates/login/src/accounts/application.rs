//! Accounts that an application manages itself.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use secrecy::SecretString;
use skriptoteket_core::{
    clock::{Clock, Timestamp},
    error::{Cause, StoreError},
};

use super::{
    Account, AccountChange, AccountError, AccountRepository, NewAccount, Profile, Role, User,
    UserId, Username,
};

/// The accounts of an application. It creates, changes and deletes them itself; this crate only looks them up.
///
/// After a change of a role or of [`ApplicationAccount::disabled`], and after a deletion, the application applies the change
/// to the sessions with [`AccountLifecycle::settle`](crate::account_lifecycle::AccountLifecycle::settle); after a change of a
/// password, it ends them. Nothing repeats that if it fails: the caller does.
///
/// The calls are made on different threads, and a call may be dropped: it has the time that is left of the request, at most
/// the store timeout. An implementation must not block; use a pool whose connections do not belong to one runtime.
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

    /// Checks that accounts can be read, for the readiness probe. The default does nothing.
    ///
    /// # Errors
    ///
    /// As of [`Accounts::find`].
    async fn ping(&self) -> Result<(), Cause> {
        Ok(())
    }

    /// Replaces the hash of the same password if it is still `old`, after a login with a hash of other parameters. The
    /// default does nothing.
    ///
    /// # Errors
    ///
    /// As of [`Accounts::find`]; the login succeeds anyway.
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
    /// The time of the last change of the password, if the application keeps it: sessions that were started before it end
    /// when the account is settled. An application that ends them itself after a change needs no such time.
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
        Ok(found.map(|account| {
            let sessions_since = account.sessions_since.map_or(0, Timestamp::as_millis);
            let version = match account.changed_at {
                Some(changed_at) => changed_at.as_millis(),
                // All of its sessions have to end, also those of replicas whose clock is ahead.
                None if account.disabled => DISABLED_SOMETIME,
                None => self.clock.now().as_millis(),
            };
            Account {
                user: User {
                    id: account.id,
                    username: account.username,
                    role: account.role,
                    disabled: account.disabled,
                    profile: Profile::default(),
                    created_at: Timestamp::default(),
                    // A change of the password is a change of the account, whatever the application says.
                    version: version.max(sessions_since),
                    sessions_since,
                },
                password_hash: account.password_hash,
            }
        }))
    }
}

/// The version of a disabled account if the time of the change is not known: the end of the year 9999, in milliseconds.
const DISABLED_SOMETIME: i64 = 253_402_300_799_999;

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
        self.accounts.ping().await.map_err(StoreError::Unavailable)
    }
}
