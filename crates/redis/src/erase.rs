//! Deletes all keys of a prefix.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    RedisStore, RedisStoreSettings, StoreClock, answer::read, call::Call, connection::SCAN_START,
    keys::Keys,
};
use crate::{RedisFault, RedisSettings};
use skriptoteket_core::error::StoreError;

/// Keys that are deleted at the same time.
const BATCH: usize = 200;

/// The result of a deletion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Number of deleted keys.
    pub keys: u64,
    /// Prefixes that a server is using and that were not deleted.
    pub in_use: Vec<String>,
}

/// Why keys were not deleted.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// Redis or its configuration does not meet the requirements.
    #[error(transparent)]
    Redis(#[from] RedisFault),
    /// Redis did not respond, or rejected a call. Some keys may be deleted.
    #[error("not all keys in Redis were deleted")]
    Store(#[source] StoreError),
}

/// Deletes the keys of every key prefix that begins with the prefix of `redis` and for which `is_ours` returns true.
/// Keys that a server is using, or used less than 20 s ago, are not deleted, unless `also_in_use` is set. `timeout`
/// applies to each call.
///
/// # Errors
///
/// [`EraseError`].
pub async fn erase(
    redis: &RedisSettings,
    timeout: Duration,
    is_ours: impl Fn(&str) -> bool + Send,
    also_in_use: bool,
) -> Result<Erased, EraseError> {
    let settings = RedisStoreSettings {
        redis: redis.clone(),
        timeout,
        clock: StoreClock::Server,
    };
    let redis = RedisStore::open(&settings, None).await?;
    let erased = redis.erase(is_ours, also_in_use).await;
    redis.close();
    erased.map_err(EraseError::Store)
}

impl RedisStore {
    /// Deletes all keys of the prefixes that begin with this store's prefix and for which `is_ours` returns true. A key
    /// that moves to another node of a Cluster in the meantime may be missed.
    async fn erase(
        &self,
        is_ours: impl Fn(&str) -> bool,
        also_in_use: bool,
    ) -> Result<Erased, StoreError> {
        let mut erased = Erased::default();
        for (prefix, keys) in self.found(is_ours).await? {
            if !also_in_use && keys.contains(&Keys::new(prefix.clone()).lease()) {
                erased.in_use.push(prefix);
                continue;
            }
            let keys: Vec<String> = keys.into_iter().collect();
            for batch in keys.chunks(BATCH) {
                // One command per key: in a Cluster they are in many slots.
                let calls = batch
                    .iter()
                    .map(|key| Call::command("DEL", vec![key.clone()]));
                let deleted = self.connection.call_all(calls.collect());
                for answer in self.connection.in_time(deleted).await? {
                    erased.keys += read::<u64>(answer)?;
                }
            }
        }
        Ok(erased)
    }

    /// Returns the keys by prefix.
    async fn found(
        &self,
        is_ours: impl Fn(&str) -> bool,
    ) -> Result<BTreeMap<String, BTreeSet<String>>, StoreError> {
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let pattern = self.keys.beginning();
        for node in self.connection.masters().await? {
            let mut cursor = Some(String::from(SCAN_START));
            while let Some(at) = cursor {
                let (keys, next) = self.connection.scan(&node, &pattern, &at).await?;
                for key in keys {
                    // Our keys are valid UTF-8.
                    let Ok(key) = String::from_utf8(key) else {
                        continue;
                    };
                    if let Some(prefix) = Keys::prefix_of(&key).filter(|it| is_ours(it)) {
                        found.entry(prefix.to_owned()).or_default().insert(key);
                    }
                }
                cursor = next;
            }
        }
        Ok(found)
    }
}
