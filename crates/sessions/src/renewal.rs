//! Replaces the key of a live session: copies of the previous key become useless.

use std::time::Duration;

use super::{EndReason, SessionId, SessionKey, SessionRecord, Sessions};
use skriptoteket_core::error::StoreError;

/// Maximum number of attempts if a generated key is taken: 128 random bits do not collide twice.
const TRIES: usize = 3;

/// Pauses between the attempts to end a session whose key was not delivered: over half a minute, which outlasts a
/// restart of a store.
const ABANDON_PAUSES: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(20),
];

/// A session under its new key.
#[derive(Debug)]
pub struct Renewed {
    /// The secret for the cookie.
    pub key: SessionKey,
    /// The record.
    pub record: SessionRecord,
    /// How long the cookie has to outlive the browser's session: the remaining lifetime of a remembered session.
    pub max_age: Option<Duration>,
    /// Claim it once the key is in the response.
    pub unclaimed: Unclaimed,
}

/// A session whose key has not been delivered yet. If it is dropped unclaimed, the session ends.
#[derive(Debug)]
pub struct Unclaimed {
    sessions: Sessions,
    /// None once it was claimed.
    session: Option<SessionId>,
}

impl Unclaimed {
    /// Creates the guard of the session with this ID.
    #[must_use]
    pub const fn new(sessions: Sessions, id: SessionId) -> Self {
        let session = Some(id);
        Self { sessions, session }
    }

    /// Marks the key as delivered and returns `what`.
    #[must_use]
    pub fn claim<T>(mut self, what: T) -> T {
        self.session = None;
        what
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(id) = self.session.take() {
            self.sessions.abandon(id);
        }
    }
}

impl Sessions {
    /// Replaces the key of a session whose role has risen; the old key is invalid from here on. Returns `None` if the
    /// session is no longer live, or was renewed by another request in the meantime.
    ///
    /// If the new key is not delivered, the session ends (`revoked`). This also applies if the store does not confirm
    /// the new key: the old key is then invalid, too.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the store.
    pub async fn renew(&self, session: &SessionRecord) -> Result<Option<Renewed>, StoreError> {
        let (old, user) = (session.id.clone(), session.user_id);
        self.detached(|this| async move {
            let mut tries = 1;
            loop {
                let key = SessionKey::generate(user);
                let id = key.id();
                match this.repository().renew(&old, user, &id).await {
                    Ok(record) => {
                        return Ok(record.map(|record| this.renewed(key, record)));
                    }
                    // Nothing was changed, and the session with that ID is not ours to end.
                    Err(StoreError::Conflict) if tries < TRIES => tries += 1,
                    Err(error) => {
                        if matches!(error, StoreError::Unavailable(_)) {
                            this.abandon(id);
                        }
                        return Err(error);
                    }
                }
            }
        })
        .await
    }

    fn renewed(&self, key: SessionKey, record: SessionRecord) -> Renewed {
        let left = record.ends_at.since(self.clock().now());
        Renewed {
            key,
            max_age: record.is_remembered().then_some(left),
            unclaimed: Unclaimed::new(self.clone(), record.id.clone()),
            record,
        }
    }

    /// Ends a session whose key was not delivered (`revoked`), in the background: at once if the store responds,
    /// otherwise after increasing pauses. If all attempts fail, the session stays until it expires.
    pub fn abandon(&self, id: SessionId) {
        let this = self.clone();
        self.spawn(async move {
            for pause in ABANDON_PAUSES {
                tokio::time::sleep(pause).await;
                if this.end(id.clone(), EndReason::Revoked).await.is_ok() {
                    return;
                }
            }
            tracing::warn!(session.id = %id, "a session whose key was not delivered cannot be ended; it stays until it expires");
        });
    }
}
