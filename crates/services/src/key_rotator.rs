//! Rotates the signing keys: creates the first one, and each next one in time.

use std::{sync::Arc, time::Duration};

use super::{
    FRESH, KeyAlgorithm, KeyError, NewKey, NewSigningKey, SKEW, ServiceCache, SigningKey,
    TokenRepository,
};
use crate::{ServiceSettings, TokenAlgorithm};
use skriptoteket_core::{clock::Clock, error::StoreError};

/// Minimum time until a new key begins to sign: by then every replica has read it.
const SOONEST: Duration = FRESH.saturating_mul(3);

/// Why no key was created.
#[derive(Debug, thiserror::Error)]
pub enum KeyRotationError {
    /// The key cannot be created.
    #[error("a signing key cannot be created")]
    Key(#[from] KeyError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keeps the signing key from becoming too old. Cheap to clone.
#[derive(Clone, Debug)]
pub struct KeyRotator {
    tokens: Arc<dyn TokenRepository>,
    service_cache: ServiceCache,
    settings: Arc<ServiceSettings>,
    clock: Arc<dyn Clock>,
}

impl KeyRotator {
    /// Creates a rotator of the keys in `tokens`. It notifies `service_cache` of new ones.
    #[must_use]
    pub const fn new(
        tokens: Arc<dyn TokenRepository>,
        service_cache: ServiceCache,
        settings: Arc<ServiceSettings>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            tokens,
            service_cache,
            settings,
            clock,
        }
    }

    /// Creates a key if one is due: there is none, the newest has another algorithm, or it is about to reach its
    /// maximum age. Any number of replicas may call this at the same moment; one of them creates the key. Returns
    /// whether it was this one.
    ///
    /// If the clock is `believed`, a key that begins to sign later than any key created now comes from a clock that was
    /// ahead, and is replaced. Otherwise this clock may be the one that is wrong, and the key is kept.
    ///
    /// # Errors
    ///
    /// [`KeyRotationError`].
    pub async fn rotate_if_due(&self, believed: bool) -> Result<bool, KeyRotationError> {
        let keys = self.tokens.keys().await?;
        let Some(newest) = keys.last() else {
            return self.add(None, Duration::ZERO).await;
        };
        let lead = self.settings.key_lead;
        let due = newest
            .active_from
            .plus(self.settings.key_rotation.saturating_sub(lead));
        let now = self.clock.now();
        // Replicas configured with different algorithms would replace each other's keys forever: one key that waits to
        // sign is enough.
        let furthest = now.plus(lead.max(SOONEST)).plus(SKEW);
        let counts = |key: &SigningKey| {
            key.algorithm == self.algorithm() && (!believed || key.active_from <= furthest)
        };
        let waits = |key: &SigningKey| counts(key) && key.active_from > now;
        if (counts(newest) && now < due) || keys.iter().any(waits) {
            return Ok(false);
        }
        self.add(Some(newest), lead).await
    }

    /// Creates a new key; any key that would begin to sign later than it is dropped. It is published now and signs
    /// after the configured lead, or with `soon` as soon as every replica knows it. With `soon`, verifiers that cache
    /// an older key set have to fetch it again when they meet the new key.
    ///
    /// # Errors
    ///
    /// [`KeyRotationError`].
    pub async fn rotate(&self, soon: bool) -> Result<bool, KeyRotationError> {
        let keys = self.tokens.keys().await?;
        let lead = match keys.last() {
            None => Duration::ZERO,
            Some(_) if soon => SOONEST,
            Some(_) => self.settings.key_lead,
        };
        self.add(keys.last(), lead).await
    }

    /// Returns the keys that have not expired, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn keys(&self) -> Result<Vec<SigningKey>, StoreError> {
        self.tokens.keys().await
    }

    async fn add(
        &self,
        newest: Option<&SigningKey>,
        lead: Duration,
    ) -> Result<bool, KeyRotationError> {
        let algorithm = self.algorithm();
        let NewKey { id, private, .. } = NewKey::generate(algorithm)?;
        let active_in = match newest {
            None => lead,
            Some(_) => lead.max(SOONEST),
        };
        let key = NewSigningKey {
            id: id.clone(),
            algorithm,
            private,
            active_in,
            others_last: self.settings.token_lifetime + 2 * SKEW,
        };
        let newest = newest.map(|key| key.id.as_str());
        let added = self.tokens.add_key(key, newest).await?;
        self.service_cache.changed();
        if added {
            tracing::info!(
                key.id = id,
                key.algorithm = algorithm.as_str(),
                active_in_s = active_in.as_secs_f64(),
                "created a signing key"
            );
        }
        Ok(added)
    }

    fn algorithm(&self) -> KeyAlgorithm {
        match self.settings.algorithm {
            TokenAlgorithm::EdDsa => KeyAlgorithm::EdDsa,
            TokenAlgorithm::Es256 => KeyAlgorithm::Es256,
        }
    }
}
