//! Sessions, budgets of guesses and quotas of services in Redis 7 (or Valkey): one server, a master that Sentinels watch, or a Cluster.
//!
//! | file | what is in it |
//! |---|---|
//! | `connection/` | the connection: made, checked, lost and made again; timeouts and retries |
//! | `call` | a script call or a command |
//! | `keys` | what keys are called, and what is in them |
//! | `record` | the record of a session |
//! | `settings` | where Redis is and how it is reached |
//! | `scripts`, `scripts/` | what happens in one step, in Lua |
//! | `answer` | what scripts answer |
//! | `sessions` | the repository of sessions |
//! | `session_lists`, `session_reaper` | its lists and pages; how it ends what has expired |
//! | `totals` | the census: the counts of all shards, added up |
//! | `limits` | the budgets of guesses |
//! | `quotas` | what services have used |
//! | `observer` | the lease of who observes |
//! | `erase` | the end of all keys of a prefix |
//! | `integrity/` | recounts and repairs of the sessions |

mod answer;
mod call;
mod connection;
mod erase;
mod integrity;
mod keys;
mod limits;
mod observer;
mod quotas;
mod record;
mod scripts;
mod session_clock;
mod session_lists;
mod session_reaper;
mod sessions;
mod settings;
mod totals;

use std::time::Duration;

pub use connection::{RedisFault, StoreClock};
pub use erase::{Erased, erase};
pub use settings::{RedisAddress, RedisSettings, RedisTopology};

use call::Call;
use connection::Connection;
use integrity::RedisIntegrity;
use keys::Keys;
use limits::RedisLimits;
use observer::RedisObserver;
use quotas::RedisQuotas;
use sessions::RedisSessions;

use crate::error::StoreError;

/// Where Redis is and how long it may take to answer.
#[derive(Clone, Debug)]
pub struct RedisStoreSettings {
    /// Where it is, and how to get there.
    pub redis: RedisSettings,
    /// How long one operation may take, however many calls it makes.
    pub timeout: Duration,
    /// By whose clock sessions, budgets and quotas live.
    pub clock: StoreClock,
}

/// The way to one Redis and the names of our keys in it. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct RedisStore {
    connection: Connection,
    keys: Keys,
    /// The ID in the accounts database that the keys have to belong to; empty if that is not compared.
    deployment: String,
}

impl RedisStore {
    /// With a `deployment` the keys must be its own: they are claimed if they belong to none.
    pub(super) async fn open(
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

    /// Makes the keys those of this deployment, unless a server is using them. False if one is.
    pub(super) async fn take_over(&self, deployment: &str) -> Result<bool, StoreError> {
        let keys = vec![self.keys.lease(), self.keys.deployment()];
        let take_over = Call::script(&scripts::TAKE_OVER, keys).arg(deployment);
        let done: u8 = answer::read(
            self.connection
                .in_time(self.connection.call(take_over))
                .await?,
        )?;
        Ok(done == 1)
    }

    pub(super) fn sessions(&self) -> RedisSessions {
        RedisSessions::new(self.connection.clone(), self.keys.clone())
    }

    pub(super) fn limits(&self) -> RedisLimits {
        RedisLimits::new(self.connection.clone(), self.keys.clone())
    }

    pub(super) fn quotas(&self) -> RedisQuotas {
        RedisQuotas::new(self.connection.clone(), self.keys.clone())
    }

    pub(super) fn observer(&self) -> RedisObserver {
        let deployment = self.deployment.clone();
        RedisObserver::new(self.connection.clone(), self.keys.clone(), deployment)
    }

    pub(super) fn integrity(&self) -> RedisIntegrity {
        RedisIntegrity::new(self.connection.clone(), self.keys.clone())
    }

    /// Lets go of the connection. What is asked afterwards is refused as unavailable.
    pub(super) fn close(&self) {
        self.connection.close();
    }
}
