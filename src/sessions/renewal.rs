//! A new key for a live session: whoever has copied the one before has a copy of nothing.

use std::time::Duration;

use super::{EndReason, SessionId, SessionKey, SessionRecord, Sessions};
use crate::error::StoreError;

/// How often another key is made where one is taken: 128 random bits are not taken twice.
const TRIES: usize = 3;

/// When a session that nobody holds is tried to be ended: over half a minute, which outlasts a restart of a store.
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
    /// How long the cookie is to outlive the browser's session: what is left of a remembered one.
    pub max_age: Option<Duration>,
    /// To be claimed when the key is in the answer.
    pub unclaimed: Unclaimed,
}

/// A session on its way to whoever is to hold it: dropped unclaimed, it ends.
#[derive(Debug)]
pub struct Unclaimed {
    sessions: Sessions,
    /// None once it was claimed.
    session: Option<SessionId>,
}

impl Unclaimed {
    /// The session that has this id.
    #[must_use]
    pub const fn new(sessions: Sessions, id: SessionId) -> Self {
        let session = Some(id);
        Self { sessions, session }
    }

    /// Says that somebody holds it. Returns what he is given.
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
    /// Gives a session that has outgrown its key a new one; the old one is dead from here on. `None` if the session is not
    /// live any more, or somebody else has renewed it in the meantime.
    ///
    /// A new key that nobody comes to take ends its session (`revoked`), also if the store does not say whether it was given:
    /// the old key is dead then, too.
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
                    // Nothing was changed, and the session of that id is not ours to end.
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

    /// Ends a session that nobody holds the key of (`revoked`), in the background: at once if the store answers, else
    /// after growing pauses. Where all tries fail it is left to expire.
    pub fn abandon(&self, id: SessionId) {
        let this = self.clone();
        self.spawn(async move {
            for pause in ABANDON_PAUSES {
                tokio::time::sleep(pause).await;
                if this.end(id.clone(), EndReason::Revoked).await.is_ok() {
                    return;
                }
            }
            tracing::warn!(session.id = %id, "a session that nobody holds is left to expire");
        });
    }
}
