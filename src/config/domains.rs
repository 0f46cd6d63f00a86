//! Converts the configuration into the settings of each domain.

use super::{Config, Database};
use crate::{
    sessions::SessionPolicy,
    store::{RedisStoreSettings, SqliteSettings, StoreClock, StoreSettings},
};

impl From<&Config> for SessionPolicy {
    fn from(config: &Config) -> Self {
        Self {
            idle: config.session_idle_timeout,
            absolute: config.session_absolute_timeout,
            remembered: config.session_remember_timeout,
            max_per_user: config.max_sessions_per_user,
        }
    }
}

impl Config {
    /// Returns the settings of the stores.
    #[must_use]
    pub fn store(&self) -> StoreSettings {
        let Database::Sqlite { path } = &self.database;
        StoreSettings {
            sqlite: SqliteSettings {
                path: path.clone(),
                timeout: self.store_timeout,
            },
            redis: self.redis.clone().map(|redis| RedisStoreSettings {
                redis,
                timeout: self.store_timeout,
                clock: StoreClock::Server,
            }),
        }
    }
}
