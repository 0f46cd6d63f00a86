//! Password changes by the user, within a session.
//!
//! A stolen session must not allow unlimited guesses, so each session has its own budget of guesses at the current
//! password. Because it belongs to the session, an attacker who has locked the account or the address cannot keep the
//! owner from changing the password, which ends the stolen sessions.

use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::oneshot;
use tracing::Instrument;

use super::{LoginService, metrics::PasswordChangeResult};
use crate::{
    accounts::{
        Account,
        password::{HashingError, Verified, WeakPassword},
        registration::{RegisterError, Registrar},
    },
    guard::{Charge, Refusal},
};
use skriptoteket_core::{
    detached,
    error::{Cause, StoreError},
};
use skriptoteket_sessions::{SessionRecord, SessionState, StartSession, Started, Unclaimed};

/// Why a password was not changed.
#[derive(Debug, thiserror::Error)]
pub enum PasswordChangeError {
    /// The current password is wrong, or it was changed in the meantime.
    #[error("the current password is wrong")]
    WrongPassword,
    /// The new password is too weak.
    #[error(transparent)]
    Weak(#[from] WeakPassword),
    /// The session's budget of guesses is exhausted.
    #[error("too many wrong passwords in this session")]
    RateLimited {
        /// Time until the next attempt may pass.
        retry_after: Duration,
    },
    /// All password hashing threads are busy and the queue is full.
    #[error("too many password checks at once")]
    Overloaded,
    /// A store failed.
    #[error("a store failed")]
    Store(#[from] StoreError),
    /// An internal error occurred.
    #[error("the password change failed because of an internal error")]
    Internal(#[source] Cause),
}

impl PasswordChangeError {
    /// Returns the result under which the attempt is counted.
    #[must_use]
    pub const fn result(&self) -> PasswordChangeResult {
        match self {
            Self::WrongPassword => PasswordChangeResult::InvalidCredentials,
            Self::Weak(_) => PasswordChangeResult::WeakPassword,
            Self::RateLimited { .. } => PasswordChangeResult::RateLimited,
            Self::Store(StoreError::Unavailable(_)) => PasswordChangeResult::StoreUnavailable,
            Self::Store(_) | Self::Overloaded | Self::Internal(_) => {
                PasswordChangeResult::InternalError
            }
        }
    }
}

impl From<HashingError> for PasswordChangeError {
    fn from(error: HashingError) -> Self {
        match error {
            HashingError::Overloaded => Self::Overloaded,
            other => Self::Internal(other.into()),
        }
    }
}

impl From<RegisterError> for PasswordChangeError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Weak(weak) => Self::Weak(weak),
            RegisterError::Overloaded => Self::Overloaded,
            RegisterError::Store(error) => Self::Store(error),
            RegisterError::NotFound => Self::WrongPassword,
            other @ (RegisterError::Name(_)
            | RegisterError::AlreadyExists
            | RegisterError::Hash(_)) => Self::Internal(other.into()),
        }
    }
}

impl From<Refusal> for PasswordChangeError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Locked { retry_after, .. } | Refusal::Busy { retry_after } => {
                Self::RateLimited { retry_after }
            }
            Refusal::Store(error) => Self::Store(error),
            Refusal::Aborted(cause) => Self::Internal(cause),
        }
    }
}

/// A request by a user to change their password.
#[derive(Debug)]
pub struct PasswordChange {
    /// The session that requests the change.
    pub session: SessionRecord,
    /// The application state of that session. It is carried over to the new session.
    pub state: SessionState,
    /// The current password as typed.
    pub current: SecretString,
    /// The new password.
    pub new: SecretString,
}

impl LoginService {
    /// Changes the password of the owner of a session. All sessions of that user end, including this one, and a new
    /// session replaces it, so a copied session key becomes worthless.
    ///
    /// The current password is charged to the budget of the session only. Success clears the failed guesses of the
    /// account.
    ///
    /// # Errors
    ///
    /// [`PasswordChangeError`]; the old password stays. After [`PasswordChangeError::Store`] the password may have been
    /// changed; the sessions then end within the reaper's interval once the stores respond again.
    ///
    /// # Cancellation
    ///
    /// The guess is still counted. A change that has begun is completed, and the new session ends at once.
    pub async fn change_password(
        &self,
        change: PasswordChange,
    ) -> Result<Started, PasswordChangeError> {
        let attempt = self.parts.metrics.password_change_started();
        let result = self.attempt_change(change).await;
        attempt.finish(match &result {
            Ok(_) => PasswordChangeResult::Success,
            Err(error) => error.result(),
        });
        result
    }

    async fn attempt_change(&self, change: PasswordChange) -> Result<Started, PasswordChangeError> {
        let (answer, result) = oneshot::channel();
        let parts = &self.parts;
        let Some(account) = parts.accounts.find(change.session.user_id).await? else {
            return Err(PasswordChangeError::WrongPassword);
        };
        let guess = Charge {
            entity: parts.entities.session(change.session.id.as_str()),
            budget: parts.policy.account,
        };
        let reservation = self.throttle.enter(vec![guess]).await?;
        let this = self.clone();
        // Runs on its own task: a client that disconnects can separate neither a guess from its count, nor the new
        // password from the end of the sessions that were started with the old one.
        let task = async move {
            let (current, hash) = (change.current.clone(), account.password_hash.clone());
            let verified = this.verify(reservation, current, Some(hash), true).await;
            let result = match verified {
                Ok(Verified { matches: true, .. }) => {
                    if answer.is_closed() {
                        return;
                    }
                    this.replace_password(account, change).await
                }
                Ok(_) => Err(PasswordChangeError::WrongPassword),
                Err(error) => Err(error),
            };
            let result = result.map(|started| {
                let id = started.record.id.clone();
                (Unclaimed::new(this.parts.sessions.clone(), id), started)
            });
            let _ = answer.send(result);
        };
        let task = detached::carried(task).in_current_span();
        self.parts.runtime.spawn(task);
        match result.await {
            Ok(result) => result.map(|(unclaimed, started)| unclaimed.claim(started)),
            Err(gone) => Err(PasswordChangeError::Internal(gone.into())),
        }
    }

    async fn replace_password(
        &self,
        account: Account,
        change: PasswordChange,
    ) -> Result<Started, PasswordChangeError> {
        let parts = &self.parts;
        let registrar = Registrar::new(parts.accounts.clone(), parts.passwords.clone());
        registrar.replace_password(&account, change.new).await?;
        let user_id = account.user.id;
        // Ends the earlier sessions. If a store fails here, the reaper ends them once the stores respond again.
        parts.lifecycle.settle(user_id).await?;
        let account = parts.accounts.find(user_id).await?;
        let account = account.filter(|it| !it.user.disabled);
        let account = account.ok_or(PasswordChangeError::WrongPassword)?;
        let started = parts
            .sessions
            .start(StartSession {
                user_id,
                username: account.user.username,
                role: account.user.role,
                account_version: account.user.version,
                remember_me: change.session.is_remembered(),
                user_agent: change.session.user_agent,
                network: change.session.network,
                replaces: None,
                state: change.state,
            })
            .await?;
        let id = started.record.id.clone();
        let unclaimed = Unclaimed::new(parts.sessions.clone(), id);
        // The account may have changed since it was read, and that change may have reached only the earlier sessions.
        parts.lifecycle.settle(user_id).await?;
        if let Err(error) = self.unlock(user_id).await {
            // The password is changed already, and a lock expires by itself.
            tracing::warn!(error.type = error.error_type(), "could not clear the failed guesses of an account");
        }
        Ok(unclaimed.claim(started))
    }
}
