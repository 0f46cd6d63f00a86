//! Sessions, login throttling and rate limits in Redis 7 (or Valkey): one server, a master that Sentinels monitor, or a
//! Cluster.
//!
//! | file | what is in it |
//! |---|---|
//! | `connection/` | the connection: how it is created, checked, lost and restored; timeouts and retries |
//! | `call` | a script call or a command, and whether it waits for a replica |
//! | `keys` | the names of the keys, and their content |
//! | `record` | the record of a session |
//! | `settings` | the location of Redis and how to connect |
//! | `scripts`, `scripts/` | the operations that run in one step, in Lua |
//! | `answer` | reads the replies of scripts |
//! | `sessions` | the repository of sessions |
//! | `session_calls` | how its scripts are called, also with the records of a user's other sessions |
//! | `session_ends`, `session_reaper` | ends one session or those of one user; ends expired sessions |
//! | `session_lists` | lists and pages of sessions |
//! | `session_clock` | corrects times written by a clock that was ahead |
//! | `totals` | the census: the sum of the counts of all shards |
//! | `limits` | login throttling |
//! | `quotas` | rate limits of services |
//! | `observer` | the observer lease |
//! | `erase` | deletes all keys of a prefix |
//! | `integrity/` | checks and repairs the sessions |

mod answer;
mod call;
mod connection;
mod erase;
mod integrity;
mod keys;
mod limits;
mod observer;
#[cfg(feature = "services")]
mod quotas;
mod record;
mod scripts;
mod session_calls;
mod session_clock;
mod session_ends;
mod session_lists;
mod session_reaper;
mod sessions;
mod settings;
mod totals;

use std::time::Duration;

pub use connection::{RedisFault, StoreClock};
pub use erase::{EraseError, Erased, erase};
pub use integrity::RedisIntegrity;
pub use limits::RedisLimits;
pub use observer::RedisObserver;
#[cfg(feature = "services")]
pub use quotas::RedisQuotas;
pub use sessions::RedisSessions;
pub use settings::{RedisAddress, RedisSettings, RedisTopology};

use call::Call;
use connection::Connection;
use keys::Keys;

use skriptoteket_core::error::StoreError;

/// The location of Redis and the timeout of its operations.
#[derive(Clone, Debug)]
pub struct RedisStoreSettings {
    /// The location, and how to connect.
    pub redis: RedisSettings,
    /// Timeout of one operation, however many calls it makes.
    pub timeout: Duration,
    /// The clock of sessions, login throttling and rate limits.
    pub clock: StoreClock,
}

/// The connection to one Redis and the names of our keys in it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RedisStore {
    connection: Connection,
    keys: Keys,
    /// The ID in the accounts database that the keys have to belong to; empty if it is not compared.
    deployment: String,
}

impl RedisStore {
    /// Connects. With a `deployment`, the keys must belong to it: they are claimed if they belong to none.
    ///
    /// # Errors
    ///
    /// [`RedisFault`] if Redis does not respond, or if it or its configuration does not meet the requirements.
    pub async fn open(
        settings: &RedisStoreSettings,
        deployment: Option<String>,
    ) -> Result<Self, RedisFault> {
        let (timeout, clock) = (settings.timeout, settings.clock.clone());
        let connection =
            Connection::open(&settings.redis, timeout, clock, deployment.clone()).await?;
        let keys = Keys::new(settings.redis.key_prefix.clone());
        Ok(Self {
            connection,
            keys,
            deployment: deployment.unwrap_or_default(),
        })
    }

    /// Assigns the keys to this deployment, unless a server is using them. Returns false if one is.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if Redis does not respond or rejects the call.
    pub async fn take_over(&self, deployment: &str) -> Result<bool, StoreError> {
        let keys = vec![self.keys.lease(), self.keys.deployment()];
        let take_over = Call::script(&scripts::TAKE_OVER, keys).arg(deployment);
        let done: u8 = answer::read(
            self.connection
                .in_time(self.connection.call(take_over))
                .await?,
        )?;
        Ok(done == 1)
    }

    /// Returns the repository of sessions.
    #[must_use]
    pub fn sessions(&self) -> RedisSessions {
        RedisSessions::new(self.connection.clone(), self.keys.clone())
    }

    /// Returns the repository of login throttling.
    #[must_use]
    pub fn limits(&self) -> RedisLimits {
        RedisLimits::new(self.connection.clone(), self.keys.clone())
    }

    /// Returns the repository of rate limits.
    #[cfg(feature = "services")]
    #[must_use]
    pub fn quotas(&self) -> RedisQuotas {
        RedisQuotas::new(self.connection.clone(), self.keys.clone())
    }

    /// Returns the observer lease.
    #[must_use]
    pub fn observer(&self) -> RedisObserver {
        let deployment = self.deployment.clone();
        RedisObserver::new(self.connection.clone(), self.keys.clone(), deployment)
    }

    /// Returns the checks and repairs of the sessions.
    #[must_use]
    pub fn integrity(&self) -> RedisIntegrity {
        RedisIntegrity::new(self.connection.clone(), self.keys.clone())
    }

    /// Closes the connection. Later calls are rejected as unavailable.
    pub fn close(&self) {
        self.connection.close();
    }
}
