//! Completes an attempt: the password check, and the steps after a correct password.

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::oneshot;
use tracing::Instrument;

use super::{LoggedIn, LoginError, LoginService};
use crate::{
    accounts::{
        Account, User,
        password::{HashingError, Verified},
    },
    guard::{Checked, Reservation},
};
use skriptoteket_core::{error::StoreError, network::ClientNetwork, wait_budget};
use skriptoteket_sessions::{EndReason, SessionId, SessionState, StartSession, Started, Unclaimed};

/// An attempt that has passed the guard.
pub(super) struct Attempt {
    /// `None` if no account has this name.
    pub(super) account: Option<Account>,
    pub(super) password: SecretString,
    pub(super) reservation: Reservation,
    pub(super) remember_me: bool,
    pub(super) user_agent: String,
    pub(super) network: Option<ClientNetwork>,
    pub(super) replaces: Option<SessionId>,
}

/// An attempt with a correct password.
struct Admission {
    account: Account,
    password: SecretString,
    /// True if the hash has to be upgraded.
    outdated: bool,
    remember_me: bool,
    user_agent: String,
    network: Option<ClientNetwork>,
    replaces: Option<SessionId>,
}

impl LoginService {
    /// Runs everything after the guard on its own task. If the client disconnects, the outcome of the attempt still
    /// reaches the guard, and no session is left behind.
    pub(super) async fn conclude(&self, attempt: Attempt) -> Result<LoggedIn, LoginError> {
        let (answer, result) = oneshot::channel();
        let this = self.clone();
        let conclusion = async move {
            let result = match this.check(attempt).await {
                // The client has disconnected: do not start a session.
                Ok(_) if answer.is_closed() => return,
                Ok(admission) => this.admit(admission).await,
                Err(error) => Err(error),
            };
            let result = result.map(|logged_in| {
                let id = logged_in.session.record.id.clone();
                (Unclaimed::new(this.parts.sessions.clone(), id), logged_in)
            });
            // If the receiver is gone, the result is dropped here. If it is never received, it is dropped with the
            // channel.
            let _ = answer.send(result);
        };
        let conclusion = wait_budget::carried(conclusion).in_current_span();
        self.parts.runtime.spawn(conclusion);
        match result.await {
            Ok(result) => result.map(|(unclaimed, logged_in)| unclaimed.claim(logged_in)),
            Err(gone) => Err(LoginError::Internal(gone.into())),
        }
    }

    async fn check(&self, attempt: Attempt) -> Result<Admission, LoginError> {
        let Attempt {
            account,
            password,
            reservation,
            remember_me,
            user_agent,
            network,
            replaces,
        } = attempt;
        let hash = account.as_ref().map(|it| it.password_hash.clone());
        // The correct password of a disabled account is a failure like any other, because it does not log the user in.
        let is_enabled = account.as_ref().is_some_and(|it| !it.user.disabled);
        let verified = self
            .verify::<LoginError>(reservation, password.clone(), hash, is_enabled)
            .await?;
        let Some(account) = account.filter(|_| verified.matches) else {
            return Err(LoginError::InvalidCredentials);
        };
        if account.user.disabled {
            return Err(LoginError::AccountDisabled);
        }
        Ok(Admission {
            account,
            password,
            outdated: verified.outdated,
            remember_me,
            user_agent,
            network,
            replaces,
        })
    }

    /// Checks a password and reports the outcome to the guard. A password that was not checked costs nothing. A correct
    /// one counts as such only if it `may_pass`.
    pub(super) async fn verify<E>(
        &self,
        reservation: Reservation,
        password: SecretString,
        hash: Option<SecretString>,
        may_pass: bool,
    ) -> Result<Verified, E>
    where
        E: From<HashingError> + From<StoreError>,
    {
        let check = self.parts.passwords.verify(password, hash);
        let span = tracing::debug_span!("password check");
        match check.instrument(span).await {
            Ok(verified) => {
                let is_right = verified.matches && may_pass;
                let checked = if is_right {
                    Checked::Right
                } else {
                    Checked::Wrong
                };
                reservation.settle(checked).await?;
                Ok(verified)
            }
            Err(error) => {
                reservation.settle(Checked::NotChecked).await?;
                Err(error.into())
            }
        }
    }

    async fn admit(&self, admission: Admission) -> Result<LoggedIn, LoginError> {
        let Admission {
            mut account,
            password,
            outdated,
            remember_me,
            user_agent,
            network,
            mut replaces,
        } = admission;
        loop {
            let start = StartSession {
                user_id: account.user.id,
                username: account.user.username.clone(),
                role: account.user.role,
                account_version: account.user.version,
                remember_me,
                user_agent: user_agent.clone(),
                network,
                replaces: replaces.take(),
                state: SessionState::new(),
            };
            let session = self.parts.sessions.start(start).await?;
            let user = match self.recheck(&account, &password, &session).await {
                Ok(user) => user,
                Err(error) => {
                    self.take_back(session.record.id).await;
                    return Err(error);
                }
            };
            // The earlier sessions have ended, including this one: the account was disabled and enabled again, or its
            // password was set to the same value.
            if user.sessions_since > account.user.version {
                account.user = user;
                continue;
            }
            if outdated {
                self.rehash(&account, password).await;
            }
            return Ok(LoggedIn { user, session });
        }
    }

    /// Settles the account if it has changed since it was read, because that change may have reached only the earlier
    /// sessions. Returns the user as it is now.
    async fn recheck(
        &self,
        read: &Account,
        password: &SecretString,
        started: &Started,
    ) -> Result<User, LoginError> {
        let parts = &self.parts;
        let id = read.user.id;
        let now = parts.accounts.find(id).await?;
        let unchanged = now
            .as_ref()
            .is_some_and(|now| now.user.version == read.user.version);
        if !unchanged || started.record.role != read.user.role {
            parts.lifecycle.settle(id).await?;
        }
        let Some(now) = now.filter(|now| !now.user.disabled) else {
            return Err(LoginError::AccountDisabled);
        };
        if now.password_hash.expose_secret() == read.password_hash.expose_secret() {
            return Ok(now.user);
        }
        // Either the password was changed, or a concurrent login has upgraded the hash of the same password.
        let check = parts
            .passwords
            .verify(password.clone(), Some(now.password_hash));
        if check.await?.matches {
            Ok(now.user)
        } else {
            Err(LoginError::InvalidCredentials)
        }
    }

    /// Ends a session whose key is never delivered. Otherwise it would be counted until its idle timeout.
    async fn take_back(&self, id: SessionId) {
        let sessions = &self.parts.sessions;
        if sessions.end(id.clone(), EndReason::Revoked).await.is_err() {
            sessions.abandon(id);
        }
    }

    /// Upgrades an outdated hash to the current parameters. A failure does not fail the login: the next login retries.
    async fn rehash(&self, account: &Account, password: SecretString) {
        let parts = &self.parts;
        let Ok(hash) = parts.passwords.hash(password).await else {
            return;
        };
        let stored = parts
            .accounts
            .upgrade_hash(account.user.id, &account.password_hash, &hash)
            .await;
        if let Err(error) = stored {
            tracing::warn!(
                error.type = error.error_type(), error = error.explanation(),
                "could not upgrade an outdated password hash"
            );
        }
    }
}
