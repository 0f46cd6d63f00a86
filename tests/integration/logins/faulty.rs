//! Real accounts behind an injected fault.

use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;
use skriptoteket::{
    accounts::{
        Account, AccountChange, AccountError, AccountRepository, NewAccount, User, UserId, Username,
    },
    error::StoreError,
};

/// Decides by the name of an operation whether it fails before it starts.
pub(crate) type Plant = fn(&'static str) -> Result<(), StoreError>;

/// Real accounts with an injected fault.
#[derive(Debug)]
pub(crate) struct Faulty {
    real: Arc<dyn AccountRepository>,
    plant: Plant,
}

impl Faulty {
    pub(crate) fn new(real: Arc<dyn AccountRepository>, plant: Plant) -> Arc<Self> {
        Arc::new(Self { real, plant })
    }
}

#[async_trait]
impl AccountRepository for Faulty {
    async fn add(&self, account: NewAccount) -> Result<User, StoreError> {
        (self.plant)("add")?;
        self.real.add(account).await
    }
    async fn find_by_username(&self, name: &Username) -> Result<Option<Account>, StoreError> {
        (self.plant)("find_by_username")?;
        self.real.find_by_username(name).await
    }
    async fn find(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        (self.plant)("find")?;
        self.real.find(id).await
    }
    async fn list(&self, after: Option<UserId>, limit: u32) -> Result<Vec<User>, StoreError> {
        (self.plant)("list")?;
        self.real.list(after, limit).await
    }
    async fn is_empty(&self) -> Result<bool, StoreError> {
        (self.plant)("is_empty")?;
        self.real.is_empty().await
    }
    async fn change(
        &self,
        id: UserId,
        change: AccountChange,
    ) -> Result<Option<User>, AccountError> {
        (self.plant)("change")?;
        self.real.change(id, change).await
    }
    async fn replace_password(
        &self,
        id: UserId,
        old: &SecretString,
        new: &SecretString,
    ) -> Result<bool, StoreError> {
        (self.plant)("replace_password")?;
        self.real.replace_password(id, old, new).await
    }
    async fn upgrade_hash(
        &self,
        id: UserId,
        old: &SecretString,
        new: &SecretString,
    ) -> Result<bool, StoreError> {
        (self.plant)("upgrade_hash")?;
        self.real.upgrade_hash(id, old, new).await
    }
    async fn set_password(&self, id: UserId, hash: &SecretString) -> Result<bool, StoreError> {
        (self.plant)("set_password")?;
        self.real.set_password(id, hash).await
    }
    async fn delete(&self, id: UserId) -> Result<bool, AccountError> {
        (self.plant)("delete")?;
        self.real.delete(id).await
    }
    async fn unsettled(&self, limit: u32) -> Result<Vec<User>, StoreError> {
        (self.plant)("unsettled")?;
        self.real.unsettled(limit).await
    }
    async fn settle(&self, id: UserId, version: i64) -> Result<bool, StoreError> {
        (self.plant)("settle")?;
        self.real.settle(id, version).await
    }
    async fn ping(&self) -> Result<(), StoreError> {
        (self.plant)("ping")?;
        self.real.ping().await
    }
}
