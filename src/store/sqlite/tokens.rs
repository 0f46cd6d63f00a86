//! Token data in SQLite: signing keys, revocations and used assertions.

use async_trait::async_trait;
use secrecy::ExposeSecret;
use sqlx::{Row, sqlite::SqliteRow};

use super::{
    SqliteFile, audit, error::Failure, service_rows::time_if_any, service_writes::raise_revision,
};
use crate::{
    audit::{Action, Kind},
    clock::Timestamp,
    error::StoreError,
    services::{KeyAlgorithm, NewSigningKey, Revocation, SigningKey, TokenId, TokenRepository},
};

/// These five scan the signing keys, of which there are few.
const KEYS: &str = "SELECT id, algorithm, private, created_at, active_from, expires_at \
    FROM signing_keys WHERE expires_at IS NULL OR expires_at > ?1 ORDER BY seq";
const NEWEST_KEY: &str = "SELECT id FROM signing_keys ORDER BY seq DESC LIMIT 1";
const EXPIRE_KEYS: &str = "UPDATE signing_keys SET expires_at = min(coalesce(expires_at, ?1), ?1)";
const DROP_OVERTAKEN: &str = "DELETE FROM signing_keys WHERE active_from > ?1";
const PRUNE_KEYS: &str = "DELETE FROM signing_keys WHERE seq IN \
    (SELECT seq FROM signing_keys WHERE expires_at <= ?1 LIMIT ?2)";

const ADD_KEY: &str = "INSERT INTO signing_keys (id, algorithm, private, created_at, active_from) \
    VALUES (?1, ?2, ?3, ?4, ?5)";
const REVOKE: &str = "INSERT INTO revocations (token, expires_at) VALUES (?1, ?2) \
    ON CONFLICT (token) DO NOTHING";
const REVOCATIONS: &str = "SELECT seq, token, expires_at FROM revocations \
    WHERE seq > ?1 AND expires_at > ?2 ORDER BY seq";
const PRUNE_REVOCATIONS: &str = "DELETE FROM revocations WHERE seq IN \
    (SELECT seq FROM revocations WHERE expires_at <= ?1 LIMIT ?2)";
const USE_ASSERTION: &str = "INSERT INTO used_assertions (digest, expires_at) VALUES (?1, ?2) \
    ON CONFLICT (digest) DO NOTHING";
const PRUNE_ASSERTIONS: &str = "DELETE FROM used_assertions WHERE digest IN \
    (SELECT digest FROM used_assertions WHERE expires_at <= ?1 LIMIT ?2)";

/// Token data in the embedded file.
#[derive(Clone, Debug)]
pub(in crate::store) struct SqliteTokens {
    file: SqliteFile,
}

impl SqliteTokens {
    /// Creates the repository of the keys, revocations and assertions in this file.
    pub(in crate::store) const fn new(file: SqliteFile) -> Self {
        Self { file }
    }
}

#[async_trait]
impl TokenRepository for SqliteTokens {
    async fn keys(&self) -> Result<Vec<SigningKey>, StoreError> {
        self.file
            .in_time(async {
                let mut connection = self.file.reader().await.map_err(Failure)?;
                let keys = sqlx::query(KEYS).bind(self.file.now().as_millis());
                let rows = keys.fetch_all(&mut *connection).await.map_err(Failure)?;
                rows.iter().map(key_of).collect()
            })
            .await
    }

    async fn add_key(&self, key: NewSigningKey, newest: Option<&str>) -> Result<bool, StoreError> {
        self.file
            .in_time(async {
                let mut transaction = self.file.begin().await.map_err(Failure)?;
                let found: Option<String> = sqlx::query_scalar(NEWEST_KEY)
                    .fetch_optional(&mut *transaction)
                    .await
                    .map_err(Failure)?;
                if found.as_deref() != newest {
                    return Ok(false);
                }
                let now = self.file.now();
                let active_from = now.plus(key.active_in);
                // A key that would become active later must not replace this one. It has signed nothing.
                sqlx::query(DROP_OVERTAKEN)
                    .bind(active_from.as_millis())
                    .execute(&mut *transaction)
                    .await
                    .map_err(Failure)?;
                // A key with an earlier expiry keeps it.
                sqlx::query(EXPIRE_KEYS)
                    .bind(active_from.plus(key.others_last).as_millis())
                    .execute(&mut *transaction)
                    .await
                    .map_err(Failure)?;
                sqlx::query(ADD_KEY)
                    .bind(key.id.clone())
                    .bind(key.algorithm.as_str())
                    .bind(key.private.expose_secret().to_vec())
                    .bind(now.as_millis())
                    .bind(active_from.as_millis())
                    .execute(&mut *transaction)
                    .await
                    .map_err(Failure)?;
                raise_revision(&mut transaction).await.map_err(Failure)?;
                let about = |action: &Action| action.set_target(format!("key:{}", key.id));
                audit::commit(transaction, Kind::KeyRotate, now, about)
                    .await
                    .map_err(Failure)?;
                Ok(true)
            })
            .await
    }

    async fn revoke(&self, token: TokenId, expires_at: Timestamp) -> Result<(), StoreError> {
        self.file
            .in_time(async {
                let mut transaction = self.file.begin().await.map_err(Failure)?;
                let revoked = sqlx::query(REVOKE)
                    .bind(token.to_string())
                    .bind(expires_at.as_millis())
                    .execute(&mut *transaction)
                    .await
                    .map_err(Failure)?;
                if revoked.rows_affected() > 0 {
                    raise_revision(&mut transaction).await.map_err(Failure)?;
                }
                transaction.commit().await.map_err(Failure)?;
                Ok(())
            })
            .await
    }

    async fn revocations(&self, after: i64) -> Result<Vec<Revocation>, StoreError> {
        self.file
            .in_time(async {
                let mut connection = self.file.reader().await.map_err(Failure)?;
                let revocations = sqlx::query(REVOCATIONS)
                    .bind(after)
                    .bind(self.file.now().as_millis());
                let rows = revocations
                    .fetch_all(&mut *connection)
                    .await
                    .map_err(Failure)?;
                rows.iter().map(revocation_of).collect()
            })
            .await
    }

    async fn use_assertion(
        &self,
        digest: [u8; 32],
        expires_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let note = sqlx::query(USE_ASSERTION)
            .bind(digest.to_vec())
            .bind(expires_at.as_millis());
        self.file
            .in_time(async {
                let noted = note
                    .execute(&mut *self.file.writer().await.map_err(Failure)?)
                    .await
                    .map_err(Failure)?;
                Ok(noted.rows_affected() > 0)
            })
            .await
    }

    async fn prune(&self, limit: u32) -> Result<u64, StoreError> {
        self.file
            .in_time(async {
                let mut transaction = self.file.begin().await.map_err(Failure)?;
                let now = self.file.now();
                let mut pruned = 0;
                for statement in [PRUNE_REVOCATIONS, PRUNE_ASSERTIONS, PRUNE_KEYS] {
                    let prune = sqlx::query(statement).bind(now.as_millis()).bind(limit);
                    pruned += prune
                        .execute(&mut *transaction)
                        .await
                        .map_err(Failure)?
                        .rows_affected();
                }
                transaction.commit().await.map_err(Failure)?;
                Ok(pruned)
            })
            .await
    }
}

fn key_of(row: &SqliteRow) -> Result<SigningKey, StoreError> {
    let algorithm: &str = row.try_get("algorithm").map_err(Failure)?;
    let private: Vec<u8> = row.try_get("private").map_err(Failure)?;
    Ok(SigningKey {
        id: row.try_get("id").map_err(Failure)?,
        algorithm: [KeyAlgorithm::EdDsa, KeyAlgorithm::Es256]
            .into_iter()
            .find(|it| it.as_str() == algorithm)
            .ok_or(StoreError::Corrupt("signing_key.algorithm"))?,
        private: private.into(),
        created_at: Timestamp::from_millis(row.try_get("created_at").map_err(Failure)?),
        active_from: Timestamp::from_millis(row.try_get("active_from").map_err(Failure)?),
        expires_at: time_if_any(row, "expires_at")?,
    })
}

fn revocation_of(row: &SqliteRow) -> Result<Revocation, StoreError> {
    let token: &str = row.try_get("token").map_err(Failure)?;
    Ok(Revocation {
        sequence: row.try_get("seq").map_err(Failure)?,
        token: token
            .parse()
            .map_err(|_| StoreError::Corrupt("revocation.token"))?,
        expires_at: Timestamp::from_millis(row.try_get("expires_at").map_err(Failure)?),
    })
}

#[cfg(test)]
mod tests {
    use super::{super::plans::assert_indexed, *};

    #[tokio::test]
    async fn no_statement_reads_the_whole_table() {
        assert_indexed(&[REVOCATIONS, PRUNE_REVOCATIONS, PRUNE_ASSERTIONS]).await;
    }
}
