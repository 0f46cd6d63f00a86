//! Changes and deletes accounts, and applies the changes to the sessions of their users.
//!
//! Accounts and sessions may be in different stores, so no transaction spans both. A change is written to the account
//! together with a mark ([`AccountRepository::unsettled`]); then it is applied to the sessions, and the mark is
//! removed. If the process ends in between, any server finds the mark within [`SETTLE_INTERVAL`] and applies the
//! change.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use tokio::runtime::Handle;

use crate::accounts::{AccountChange, AccountError, AccountRepository, User, UserId};
use skriptoteket_core::{detached, error::StoreError};
use skriptoteket_sessions::{RoleUpdate, RoleUpdated, Sessions};

/// Interval between two searches for unsettled accounts.
pub const SETTLE_INTERVAL: Duration = Duration::from_millis(500);

/// Accounts settled in one step.
const BATCH: u32 = 500;

/// Changes and deletes accounts, and updates or ends their sessions. Cheap to clone.
///
/// Every change runs on its own task; see [`detached::run`].
#[derive(Clone)]
pub struct AccountLifecycle {
    accounts: Arc<dyn AccountRepository>,
    sessions: Sessions,
    runtime: Handle,
}

impl fmt::Debug for AccountLifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountLifecycle")
    }
}

impl AccountLifecycle {
    /// Creates the service for `accounts` whose users have `sessions`. Changes run on `runtime`.
    #[must_use]
    pub const fn new(
        accounts: Arc<dyn AccountRepository>,
        sessions: Sessions,
        runtime: Handle,
    ) -> Self {
        Self {
            accounts,
            sessions,
            runtime,
        }
    }

    /// Changes an account and applies the change to its live sessions: they get a new role, or end if the account is
    /// disabled.
    ///
    /// # Errors
    ///
    /// [`AccountError`]. After [`AccountError::Store`] the change may have been written; it then reaches the sessions
    /// within [`SETTLE_INTERVAL`] once the stores respond.
    pub async fn change(
        &self,
        id: UserId,
        change: AccountChange,
    ) -> Result<Option<User>, AccountError> {
        self.detached(|this| async move {
            // A new profile does not concern the sessions, which may be in a store that does not respond.
            let concerns_sessions = change.role.is_some() || change.disabled.is_some();
            let user = this.accounts.change(id, change).await?;
            if user.is_some() && concerns_sessions {
                this.settle_now(id).await?;
            }
            Ok(user)
        })
        .await
    }

    /// Disables an account, ends its sessions and deletes it. Returns false if it does not exist.
    ///
    /// # Errors
    ///
    /// [`AccountError`]. After [`AccountError::Store`] the account may remain disabled; delete it again.
    pub async fn delete(&self, id: UserId) -> Result<bool, AccountError> {
        self.detached(|this| async move {
            let disabled = AccountChange {
                disabled: Some(true),
                ..AccountChange::default()
            };
            // Disabled first, so that no login can start a session between the end of the last one and the deletion.
            if this.accounts.change(id, disabled).await?.is_none() {
                return Ok(false);
            }
            this.settle_now(id).await?;
            let deleted = this.accounts.delete(id).await?;
            // A login that read the account before it was disabled may have started a session since.
            this.sessions.end_user(id, None).await?;
            Ok(deleted)
        })
        .await
    }

    /// Applies the state of an account to the live sessions of its user: they get its role, or end if it is disabled
    /// or deleted.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of either store; the account stays unsettled, and [`AccountLifecycle::run`] retries.
    pub async fn settle(&self, id: UserId) -> Result<(), StoreError> {
        self.detached(|this| async move { this.settle_now(id).await })
            .await
    }

    async fn settle_now(&self, id: UserId) -> Result<(), StoreError> {
        let Self {
            accounts, sessions, ..
        } = self;
        let mut newest = i64::MIN;
        loop {
            let Some(account) = accounts.find(id).await? else {
                sessions.end_user(id, None).await?;
                return Ok(());
            };
            // Not simply all: if this runs late, it must not log out a user who has logged in after the change.
            let since = if account.user.disabled {
                account.user.version + 1
            } else {
                account.user.sessions_since
            };
            if since > 0 {
                sessions.end_older(id, since).await?;
            }
            if !account.user.disabled {
                let mut update = RoleUpdate::new(account.user.role, account.user.version);
                // The account was read after that newer version was seen, but is older: the account store was
                // restored to an earlier state, and its current content is authoritative.
                update.replaces = update.replaces.max(newest);
                if let RoleUpdated::Outdated { newest: seen } =
                    sessions.set_role(id, update).await?
                {
                    newest = seen;
                    continue;
                }
            }
            // Another process may have changed the account meanwhile and already applied that change to the sessions.
            if accounts.settle(id, account.user.version).await? {
                return Ok(());
            }
        }
    }

    /// Settles the accounts whose change was not applied because the process that wrote it ended in between, or has
    /// no access to the session store. Returns the number of these accounts.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of either store; the other accounts are settled anyway.
    pub async fn settle_pending(&self) -> Result<usize, StoreError> {
        let unsettled = self.accounts.unsettled(BATCH).await?;
        let mut outcome = Ok(unsettled.len());
        for user in &unsettled {
            if let Err(error) = self.settle(user.id).await {
                outcome = Err(error);
            }
        }
        outcome
    }

    /// Settles accounts every [`SETTLE_INTERVAL`], forever.
    pub async fn run(&self) {
        let mut ticks = tokio::time::interval(SETTLE_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut answered = true;
        loop {
            ticks.tick().await;
            let result = self.settle_pending().await;
            if let (Err(error), true) = (&result, answered) {
                tracing::warn!(
                    error.type = error.error_type(), error = error.in_full(),
                    "not all account changes were applied to sessions; trying again"
                );
            }
            answered = result.is_ok();
        }
    }

    async fn detached<T, E, F>(&self, work: impl FnOnce(Self) -> F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        detached::run(&self.runtime, work(self.clone())).await
    }
}
