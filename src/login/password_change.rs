//! Changing one's own password: guarded like a login, because a stolen session must not be a place to guess.

use std::{net::IpAddr, time::Duration};

use secrecy::SecretString;
use tracing::Instrument;

use super::{Charged, LoginError, LoginService};
use crate::{
    accounts::{
        Account,
        password::WeakPassword,
        registration::{RegisterError, Registrar},
    },
    audit,
    error::{Cause, StoreError},
    guard::Checked,
    patience,
    sessions::{SessionId, SessionRecord},
};

/// Why a password was not changed.
#[derive(Debug, thiserror::Error)]
pub enum PasswordChangeError {
    /// The current password is wrong, or is no longer the current one.
    #[error("the current password is wrong")]
    WrongPassword,
    /// The new password would be guessed.
    #[error(transparent)]
    Weak(#[from] WeakPassword),
    /// The account's budget of guesses is used up.
    #[error("the account is locked")]
    AccountLocked {
        /// When the next attempt may pass.
        retry_after: Duration,
    },
    /// The address's budget of guesses is used up.
    #[error("the address is limited")]
    RateLimited {
        /// When the next attempt may pass.
        retry_after: Duration,
    },
    /// All threads that hash passwords are busy and the queue is full.
    #[error("too many password checks at once")]
    Overloaded,
    /// A store failed.
    #[error("a store failed")]
    Store(#[from] StoreError),
    /// The service failed.
    #[error("the password change failed for a reason of our own")]
    Internal(#[source] Cause),
}

impl PasswordChangeError {
    /// The outcome in the audit trail.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::WrongPassword => "invalid_credentials",
            Self::Weak(_) => "weak_password",
            Self::AccountLocked { .. } => "account_locked",
            Self::RateLimited { .. } => "rate_limited",
            Self::Store(error) => error.reason(),
            Self::Overloaded | Self::Internal(_) => "internal_error",
        }
    }
}

impl From<LoginError> for PasswordChangeError {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::AccountLocked { retry_after } => Self::AccountLocked { retry_after },
            LoginError::RateLimited { retry_after } => Self::RateLimited { retry_after },
            LoginError::Overloaded => Self::Overloaded,
            LoginError::Store(error) => Self::Store(error),
            LoginError::Internal(cause) => Self::Internal(cause),
            LoginError::CrossSite
            | LoginError::InvalidCredentials
            | LoginError::AccountDisabled => Self::WrongPassword,
        }
    }
}

impl From<RegisterError> for PasswordChangeError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Weak(weak) => Self::Weak(weak),
            RegisterError::Overloaded => Self::Overloaded,
            RegisterError::Store(error) => Self::Store(error),
            RegisterError::Gone => Self::WrongPassword,
            other @ (RegisterError::Name(_) | RegisterError::Taken | RegisterError::Hash(_)) => {
                Self::Internal(other.into())
            }
        }
    }
}

impl LoginService {
    /// Changes the password of whoever owns `session`; all other sessions of that user end.
    ///
    /// The current password is charged to the same budgets as a login, and the charge given back when it is right.
    ///
    /// # Errors
    ///
    /// [`PasswordChangeError`]; the old password stays. After [`PasswordChangeError::Store`] it may have been changed.
    pub async fn change_password(
        &self,
        session: &SessionRecord,
        current: SecretString,
        new: SecretString,
        address: IpAddr,
    ) -> Result<(), PasswordChangeError> {
        let parts = &self.parts;
        let Some(account) = parts.accounts.find(session.user_id).await? else {
            return Err(PasswordChangeError::WrongPassword);
        };
        let charged = Charged {
            address: parts.entities.address(address),
            account: parts.entities.account(Some(account.user.id), ""),
        };
        self.charge(charged).await?;
        let verified = self
            .verify(charged, current, Some(account.password_hash.clone()))
            .await?;
        if !verified.matches {
            return Err(PasswordChangeError::WrongPassword);
        }
        let (this, keep) = (self.clone(), session.id.clone());
        let change = async move { this.replace_password(&account, charged, new, keep).await };
        // On a task of its own: a client that goes away in the middle cannot part the new password from the end of the
        // sessions that were started with the old one.
        let task = parts
            .runtime
            .spawn(audit::carried(patience::carried(change)).in_current_span());
        task.await
            .map_err(|gone| PasswordChangeError::Internal(gone.into()))?
    }

    async fn replace_password(
        &self,
        account: &Account,
        charged: Charged,
        new: SecretString,
        keep: SessionId,
    ) -> Result<(), PasswordChangeError> {
        let parts = &self.parts;
        self.give_back(charged, Checked::Right).await?;
        let registrar = Registrar::new(parts.accounts.clone(), parts.passwords.clone());
        registrar.replace_password(account, new).await?;
        let sessions = &parts.sessions;
        sessions.end_user(account.user.id, Some(keep)).await?;
        Ok(())
    }
}
