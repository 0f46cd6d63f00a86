//! Rotates the signing keys: creates the first one, and each next one in time.

use std::{sync::Arc, time::Duration};

use super::{
    FRESH, KeyAlgorithm, KeyError, NewKey, NewSigningKey, SKEW, ServiceCache, SigningKey,
    TokenRepository,
};
use crate::{
    clock::Clock,
    error::StoreError,
    services::{ServiceSettings, TokenAlgorithm},
};

/// The shortest time in which a new key begins to sign: every replica has read of it by then.
const SOONEST: Duration = FRESH.saturating_mul(3);

/// Why there is no new key.
#[derive(Debug, thiserror::Error)]
pub enum KeyRotationError {
    /// It cannot be made.
    #[error("a signing key cannot be made")]
    Key(#[from] KeyError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keeps a signing key in use that is not too old. Cheap to clone.
#[derive(Clone, Debug)]
pub struct KeyRotator {
    tokens: Arc<dyn TokenRepository>,
    service_cache: ServiceCache,
    settings: Arc<ServiceSettings>,
    clock: Arc<dyn Clock>,
}

impl KeyRotator {
    /// A rotator of the keys in `tokens`. It notifies `service_cache` of new ones.
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

    /// Makes a key where one is due: there is none, the newest is of another algorithm, or its time is nearly over. Any number
    /// of replicas may ask at the same moment; one of them makes it. Returns whether it was this one.
    ///
    /// With a clock that is `believed`, a key that begins to sign later than any that is made now is from a clock that was ahead,
    /// and one is made in its place. Else it may be the clock that is behind, and the key that is right.
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
        // Replicas that are set to different algorithms would make keys against each other, for ever: one that waits to sign
        // is enough.
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

    /// Makes a new key; one that had not begun to sign by the time at which this one does is dropped. It is published now and signs after the lead of the configuration, or with `soon` as soon as every
    /// replica knows it. Verifiers that keep an older set must then ask again when they meet it.
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

    /// The keys that have not expired, the oldest first.
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
                "a new key will sign tokens"
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
