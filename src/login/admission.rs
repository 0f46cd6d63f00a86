//! Admission: what follows a right password.

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::oneshot;
use tracing::Instrument;

use super::{Charged, LoggedIn, LoginError, LoginService};
use crate::{
    accounts::{Account, User},
    guard::Checked,
    patience,
    sessions::{EndReason, SessionId, Sessions, StartSession},
};

/// An attempt with a right password.
pub(super) struct Admission {
    pub(super) account: Account,
    pub(super) password: SecretString,
    /// The hash was made with other parameters than those in force.
    pub(super) outdated: bool,
    pub(super) charged: Charged,
    pub(super) remember_me: bool,
    pub(super) user_agent: String,
    pub(super) replaces: Option<SessionId>,
}

impl LoginService {
    /// All that follows a right password, on a task of its own: a client that goes away in the middle leaves no
    /// charge standing and no session behind.
    pub(super) async fn admit(&self, admission: Admission) -> Result<LoggedIn, LoginError> {
        let (answer, result) = oneshot::channel();
        let this = self.clone();
        let admission = async move {
            let result = this.admit_now(admission).await;
            let result = result.map(|logged_in| {
                (
                    Unclaimed::new(this.parts.sessions.clone(), &logged_in),
                    logged_in,
                )
            });
            // What nobody waits for is dropped here, and what nobody comes to take, where it lies.
            let _ = answer.send(result);
        };
        let admission = patience::carried(admission).in_current_span();
        self.parts.runtime.spawn(admission);
        match result.await {
            Ok(result) => result.map(|(unclaimed, logged_in)| unclaimed.claim(logged_in)),
            Err(gone) => Err(LoginError::Internal(gone.into())),
        }
    }

    async fn admit_now(&self, admission: Admission) -> Result<LoggedIn, LoginError> {
        let parts = &self.parts;
        let Admission {
            account,
            password,
            outdated,
            charged,
            remember_me,
            user_agent,
            replaces,
        } = admission;
        self.give_back(charged, Checked::Right).await?;
        let session = parts
            .sessions
            .start(StartSession {
                user: account.user.clone(),
                remember_me,
                user_agent,
                replaces,
            })
            .await?;
        let user = match self.recheck(&account, &password).await {
            Ok(user) => user,
            Err(error) => {
                self.take_back(session.record.id).await;
                return Err(error);
            }
        };
        if outdated {
            self.rehash(&account, password).await;
        }
        Ok(LoggedIn { user, session })
    }

    /// The account may have changed since it was read, and the change have reached only the sessions of before.
    async fn recheck(&self, read: &Account, password: &SecretString) -> Result<User, LoginError> {
        let parts = &self.parts;
        let id = read.user.id;
        let now = parts.accounts.find(id).await?;
        let unchanged = now
            .as_ref()
            .is_some_and(|now| now.user.version == read.user.version);
        if !unchanged {
            parts.sessions.settle(id).await?;
        }
        let Some(now) = now.filter(|now| !now.user.disabled) else {
            return Err(LoginError::AccountDisabled);
        };
        if now.password_hash.expose_secret() == read.password_hash.expose_secret() {
            return Ok(now.user);
        }
        // Either the password was changed, or another login has brought the hash of the same one up to date.
        let check = parts
            .passwords
            .verify(password.clone(), Some(now.password_hash));
        if check.await?.matches {
            Ok(now.user)
        } else {
            Err(LoginError::InvalidCredentials)
        }
    }

    /// Ends a session that nobody gets the key of: it would be counted until it is idle.
    async fn take_back(&self, id: SessionId) {
        let sessions = &self.parts.sessions;
        if sessions.end(id.clone(), EndReason::Revoked).await.is_err() {
            sessions.abandon(id);
        }
    }

    /// Brings an old hash up to the parameters in force. A login does not fail over it: the next one tries again.
    async fn rehash(&self, account: &Account, password: SecretString) {
        let parts = &self.parts;
        let Ok(hash) = parts.passwords.hash(password).await else {
            return;
        };
        let stored = parts
            .accounts
            .replace_password(account.user.id, &account.password_hash, &hash)
            .await;
        if let Err(error) = stored {
            tracing::warn!(error.type = error.error_type(), error = error.in_full(), "an outdated password hash was not replaced");
        }
    }
}

/// A session on its way to whoever logged in: dropped unclaimed, it ends.
struct Unclaimed {
    sessions: Sessions,
    /// None once it was claimed.
    session: Option<SessionId>,
}

impl Unclaimed {
    fn new(sessions: Sessions, logged_in: &LoggedIn) -> Self {
        let session = Some(logged_in.session.record.id.clone());
        Self { sessions, session }
    }

    fn claim(mut self, logged_in: LoggedIn) -> LoggedIn {
        self.session = None;
        logged_in
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(id) = self.session.take() {
            self.sessions.abandon(id);
        }
    }
}
