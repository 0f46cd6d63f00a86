//! Accounts that block at one moment until the test releases them, so that two operations happen in a defined order.

use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;
use skriptoteket::{
    accounts::{
        Account, AccountChange, AccountError, AccountRepository, NewAccount, User, UserId, Username,
    },
    error::StoreError,
};
use skriptoteket_testing::parts::CHEAP;
use tokio::sync::{Notify, watch};

use crate::logins::harness::Harness;

/// The moment after which operations block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// An account was read by its name.
    NameFound,
    /// An account was read by its id.
    IdFound,
    /// A password was replaced.
    PasswordReplaced,
}

#[derive(Debug)]
pub(crate) struct Interleaved {
    inner: Arc<dyn AccountRepository>,
    at: Moment,
    reached: Notify,
    open: watch::Sender<bool>,
}

impl Interleaved {
    pub(crate) fn new(inner: Arc<dyn AccountRepository>, at: Moment) -> Arc<Self> {
        Arc::new(Self {
            inner,
            at,
            reached: Notify::new(),
            open: watch::Sender::new(false),
        })
    }

    /// Waits until an operation has reached the moment.
    pub(crate) async fn reached(&self) {
        self.reached.notified().await;
    }

    /// Releases all operations.
    pub(crate) fn go_on(&self) {
        self.open.send_replace(true);
    }

    /// Blocks later operations again.
    pub(crate) fn stop_again(&self) {
        self.open.send_replace(false);
    }

    async fn pass(&self, moment: Moment) {
        if moment == self.at && !*self.open.borrow() {
            self.reached.notify_one();
            let mut open = self.open.subscribe();
            open.wait_for(|open| *open).await.unwrap();
        }
    }
}

#[async_trait]
impl AccountRepository for Interleaved {
    async fn add(&self, account: NewAccount) -> Result<User, StoreError> {
        self.inner.add(account).await
    }
    async fn find_by_username(&self, username: &Username) -> Result<Option<Account>, StoreError> {
        let found = self.inner.find_by_username(username).await;
        self.pass(Moment::NameFound).await;
        found
    }
    async fn find(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        let found = self.inner.find(id).await;
        self.pass(Moment::IdFound).await;
        found
    }
    async fn list(&self, after: Option<UserId>, limit: u32) -> Result<Vec<User>, StoreError> {
        self.inner.list(after, limit).await
    }
    async fn is_empty(&self) -> Result<bool, StoreError> {
        self.inner.is_empty().await
    }
    async fn change(
        &self,
        id: UserId,
        change: AccountChange,
    ) -> Result<Option<User>, AccountError> {
        self.inner.change(id, change).await
    }
    async fn replace_password(
        &self,
        id: UserId,
        old: &SecretString,
        new: &SecretString,
    ) -> Result<bool, StoreError> {
        let replaced = self.inner.replace_password(id, old, new).await;
        self.pass(Moment::PasswordReplaced).await;
        replaced
    }
    async fn upgrade_hash(
        &self,
        id: UserId,
        old: &SecretString,
        new: &SecretString,
    ) -> Result<bool, StoreError> {
        let replaced = self.inner.upgrade_hash(id, old, new).await;
        self.pass(Moment::PasswordReplaced).await;
        replaced
    }
    async fn set_password(&self, id: UserId, hash: &SecretString) -> Result<bool, StoreError> {
        let set = self.inner.set_password(id, hash).await;
        self.pass(Moment::PasswordReplaced).await;
        set
    }
    async fn delete(&self, id: UserId) -> Result<bool, AccountError> {
        self.inner.delete(id).await
    }
    async fn unsettled(&self, limit: u32) -> Result<Vec<User>, StoreError> {
        self.inner.unsettled(limit).await
    }
    async fn settle(&self, id: UserId, version: i64) -> Result<bool, StoreError> {
        self.inner.settle(id, version).await
    }
    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }
}

/// Creates a harness in which all operations block at one moment until the test releases them.
pub(crate) async fn harness_that_waits(at: Moment) -> (Harness, Arc<Interleaved>) {
    let mut barrier = None;
    let harness = Harness::with(CHEAP, |mut parts| {
        let accounts = Interleaved::new(parts.accounts, at);
        parts.accounts = accounts.clone();
        barrier = Some(accounts);
        parts
    })
    .await;
    (harness, barrier.unwrap())
}
