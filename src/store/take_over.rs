//! Assigns the keys in Redis to another accounts database.

use std::{path::PathBuf, sync::Arc};

use skriptoteket_redis::{RedisStore, RedisStoreSettings};
use skriptoteket_store::LedgerFile;

use super::{
    OpenError, StoreSettings, Stores, bare, deployment,
    sqlite::{SqliteAudit, SqliteFile},
};
use crate::{audit::AuditRepository, clock::Clock};

/// An accounts database that can take over keys in Redis that may belong to another one.
#[derive(Debug)]
pub struct TakeOver {
    /// The audit trail, which is in the database.
    pub audit: Arc<dyn AuditRepository>,
    file: SqliteFile,
    path: PathBuf,
    redis: RedisStoreSettings,
}

impl TakeOver {
    /// Opens the accounts database that `settings` name, without accessing Redis. `None` if there is no Redis.
    ///
    /// # Errors
    ///
    /// [`OpenError`], as of [`open`](super::open).
    pub async fn open(
        settings: &StoreSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Option<Self>, OpenError> {
        let Some(redis) = settings.redis.clone() else {
            return Ok(None);
        };
        let file = SqliteFile::open(&settings.sqlite, clock).await?;
        Ok(Some(Self {
            audit: Arc::new(SqliteAudit::new(file.clone())),
            file,
            path: settings.sqlite.path.clone(),
            redis,
        }))
    }

    /// Assigns the keys to this database, whichever they belonged to, and opens the stores as for a command. The
    /// sessions there belong to other accounts: the caller has to end them next.
    ///
    /// # Errors
    ///
    /// [`OpenError`], as of [`open`](super::open); [`OpenError::InUse`] if a server is using the keys;
    /// [`OpenError::TakeOver`] if Redis does not respond.
    pub async fn take(&self) -> Result<Stores, OpenError> {
        let location = self.redis.redis.location();
        let ledger = LedgerFile::new(&self.path, location, self.redis.timeout);
        let deployment = deployment(&self.file, &self.path).await?;
        let redis = RedisStore::open(&self.redis, None).await?;
        if redis
            .take_over(&deployment)
            .await
            .map_err(OpenError::TakeOver)?
        {
            return Ok(bare(self.file.clone(), Some(redis), Arc::new(ledger)));
        }
        Err(OpenError::InUse)
    }

    /// Closes the database. Takes at most the store timeout.
    pub async fn close(&self) {
        self.file.close().await;
    }
}
