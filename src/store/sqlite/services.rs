//! The service register in SQLite.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::{Sqlite, Transaction};
use uuid::Uuid;

use super::{
    SqliteFile, audit,
    error::Failure,
    service_rows::{all, find, quota_number, scopes_text},
    service_writes::{
        DELETED, RAISE, REGISTERED, ROTATED, ROTATION_REFUSED, add_credential, insert,
        interval_parts, note, retire,
    },
};
use crate::{
    audit::{Action, Kind},
    clock::Timestamp,
    error::StoreError,
    services::{
        Credential, NewService, Register, RegisterError, Revision, Rotation, SecretDigest, Service,
        ServiceChange, ServiceId, ServiceRepository, SignOfLife,
    },
};

const IS_TAKEN: &str = "SELECT EXISTS (SELECT 1 FROM services WHERE id = ?1)";
/// Counts the whole table, which is small, and only for a registration.
const COUNT: &str = "SELECT count(*) FROM services";
const CHANGE: &str = "UPDATE services SET description = ?2, disabled = ?3, scopes = ?4, \
    interval_us = ?5, burst = ?6, daily_quota = ?7, public_keys = ?8, interval_rest_ns = ?9 WHERE id = ?1";
const DELETE: &str = "DELETE FROM services WHERE id = ?1";
const FORGET_USE: &str = "DELETE FROM quotas \
    WHERE registration = (SELECT registration FROM services WHERE id = ?1)";
const HEARTBEAT: &str = "UPDATE services SET last_heartbeat = ?2 WHERE id = ?1";
const AUTHENTICATED: &str = "UPDATE services SET last_authentication = ?2 WHERE id = ?1";
const REVISION: &str = "SELECT revision FROM service_register WHERE id = 1";

/// The service register in the embedded file.
#[derive(Clone, Debug)]
pub(in crate::store) struct SqliteServices {
    file: SqliteFile,
}

impl SqliteServices {
    /// Creates the service register of this file.
    pub(in crate::store) const fn new(file: SqliteFile) -> Self {
        Self { file }
    }

    /// Commits a change of this service, together with the event of the audit trail.
    async fn commit(
        &self,
        transaction: Transaction<'static, Sqlite>,
        kind: Kind,
        id: &ServiceId,
        detail: Option<String>,
    ) -> Result<(), sqlx::Error> {
        let about = |action: &Action| {
            action.set_target(format!("service:{id}"));
            if let Some(detail) = detail {
                action.set_detail(detail);
            }
        };
        audit::commit(transaction, kind, self.file.now(), about).await
    }
}

#[async_trait]
impl ServiceRepository for SqliteServices {
    async fn register(&self, service: NewService, most: u32) -> Result<Service, RegisterError> {
        self.file
            .in_time(async {
                let mut transaction = self.file.begin().await.map_err(Failure)?;
                let is_taken = sqlx::query_scalar(IS_TAKEN).bind(service.id.as_str().to_owned());
                if is_taken
                    .fetch_one(&mut *transaction)
                    .await
                    .map_err(Failure)?
                {
                    return Err(RegisterError::AlreadyExists);
                }
                let count: i64 = sqlx::query_scalar(COUNT)
                    .fetch_one(&mut *transaction)
                    .await
                    .map_err(Failure)?;
                if count >= most.into() {
                    return Err(RegisterError::Full(most));
                }
                let service = registered(service, self.file.now());
                insert(&mut transaction, &service).await.map_err(Failure)?;
                note(&mut transaction, REGISTERED).await.map_err(Failure)?;
                self.commit(transaction, Kind::ServiceRegister, &service.id, None)
                    .await
                    .map_err(Failure)?;
                Ok(service)
            })
            .await
    }

    async fn find(&self, id: &ServiceId) -> Result<Option<Service>, StoreError> {
        self.file
            .in_time(async {
                // One snapshot: a rotation between two reads would show no credential.
                let mut snapshot = self.file.snapshot().await.map_err(Failure)?;
                let found = find(&mut snapshot, id).await?;
                snapshot.commit().await.map_err(Failure)?;
                Ok(found)
            })
            .await
    }

    async fn all(&self) -> Result<Register, StoreError> {
        self.file
            .in_time(async {
                let mut snapshot = self.file.snapshot().await.map_err(Failure)?;
                let register = all(&mut snapshot).await?;
                snapshot.commit().await.map_err(Failure)?;
                Ok(register)
            })
            .await
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        let revision = sqlx::query_scalar(REVISION);
        self.file
            .in_time(async {
                let revision = revision
                    .fetch_one(&mut *self.file.reader().await.map_err(Failure)?)
                    .await
                    .map_err(Failure)?;
                Ok(Revision(revision))
            })
            .await
    }

    async fn change(
        &self,
        id: &ServiceId,
        change: ServiceChange,
    ) -> Result<Option<Service>, StoreError> {
        self.file
            .in_time(async {
                let mut transaction = self.file.begin().await.map_err(Failure)?;
                let Some(before) = find(&mut transaction, id).await? else {
                    return Ok(None);
                };
                let after = changed(before.clone(), change);
                // The resulting limits are checked: two concurrent changes may be valid each and invalid together.
                let limits_change = after.limits != before.limits;
                if after == before || limits_change && after.limits.checked().is_err() {
                    return Ok(Some(before));
                }
                sqlx::query(CHANGE)
                    .bind(id.as_str().to_owned())
                    .bind(after.description.clone())
                    .bind(after.disabled)
                    .bind(scopes_text(&after.scopes))
                    .bind(interval_parts(&after.limits).0)
                    .bind(after.limits.burst)
                    .bind(quota_number(&after.limits))
                    .bind(after.public_keys.as_deref().map(str::to_owned))
                    .bind(interval_parts(&after.limits).1)
                    .execute(&mut *transaction)
                    .await
                    .map_err(Failure)?;
                note(&mut transaction, RAISE).await.map_err(Failure)?;
                let detail = Some(difference(&before, &after));
                self.commit(transaction, Kind::ServiceChange, id, detail)
                    .await
                    .map_err(Failure)?;
                Ok(Some(after))
            })
            .await
    }

    async fn delete(&self, id: &ServiceId) -> Result<bool, StoreError> {
        self.file
            .in_time(async {
                let mut transaction = self.file.begin().await.map_err(Failure)?;
                sqlx::query(FORGET_USE)
                    .bind(id.as_str().to_owned())
                    .execute(&mut *transaction)
                    .await
                    .map_err(Failure)?;
                let delete = sqlx::query(DELETE).bind(id.as_str().to_owned());
                // The foreign key also deletes its credentials.
                if delete
                    .execute(&mut *transaction)
                    .await
                    .map_err(Failure)?
                    .rows_affected()
                    == 0
                {
                    return Ok(false);
                }
                note(&mut transaction, DELETED).await.map_err(Failure)?;
                self.commit(transaction, Kind::ServiceDelete, id, None)
                    .await
                    .map_err(Failure)?;
                Ok(true)
            })
            .await
    }

    async fn rotate(
        &self,
        id: &ServiceId,
        secret: SecretDigest,
        expires_at: Option<Timestamp>,
        overlap: Duration,
        force: bool,
    ) -> Result<Option<Rotation>, StoreError> {
        self.file
            .in_time(async {
                let mut transaction = self.file.begin().await.map_err(Failure)?;
                let now = self.file.now();
                let Some(mut service) = find(&mut transaction, id).await? else {
                    return Ok(None);
                };
                let retired = service.credentials.iter().skip(1);
                let overlapping = retired
                    .filter(|it| !it.is_expired(now))
                    .filter_map(|it| it.expires_at);
                if let Some(until) = overlapping.max().filter(|_| !force) {
                    note(&mut transaction, ROTATION_REFUSED)
                        .await
                        .map_err(Failure)?;
                    transaction.commit().await.map_err(Failure)?;
                    return Ok(Some(Rotation::StillOverlapping { until }));
                }
                let newest = new_credential(secret, now, expires_at);
                service.credentials.truncate(1);
                if let Some(before) = service.credentials.first_mut() {
                    let end = now.plus(overlap);
                    before.retired_at = Some(now);
                    before.expires_at = Some(before.expires_at.map_or(end, |own| own.min(end)));
                    retire(&mut transaction, id, before)
                        .await
                        .map_err(Failure)?;
                }
                add_credential(&mut transaction, id, &newest)
                    .await
                    .map_err(Failure)?;
                service.credentials.insert(0, newest);
                note(&mut transaction, ROTATED).await.map_err(Failure)?;
                let detail = force.then(|| String::from("forced"));
                self.commit(transaction, Kind::ServiceRotate, id, detail)
                    .await
                    .map_err(Failure)?;
                Ok(Some(Rotation::Rotated(service)))
            })
            .await
    }

    async fn seen(&self, id: &ServiceId, sign: SignOfLife) -> Result<bool, StoreError> {
        let statement = match sign {
            SignOfLife::Heartbeat => HEARTBEAT,
            SignOfLife::Authentication => AUTHENTICATED,
        };
        self.file
            .in_time(async {
                let mut connection = self.file.writer().await.map_err(Failure)?;
                let seen = sqlx::query(statement)
                    .bind(id.as_str().to_owned())
                    .bind(self.file.now().as_millis())
                    .execute(&mut *connection)
                    .await
                    .map_err(Failure)?;
                Ok(seen.rows_affected() > 0)
            })
            .await
    }
}

fn registered(new: NewService, now: Timestamp) -> Service {
    Service {
        id: new.id,
        registration: Uuid::new_v4(),
        description: new.description,
        disabled: false,
        created_at: now,
        scopes: new.scopes,
        limits: new.limits,
        credentials: vec![new_credential(new.secret, now, new.secret_expires_at)],
        public_keys: new.public_keys,
        last_heartbeat: None,
        last_authentication: None,
    }
}

fn new_credential(
    digest: SecretDigest,
    now: Timestamp,
    expires_at: Option<Timestamp>,
) -> Credential {
    Credential {
        id: Uuid::new_v4(),
        digest,
        created_at: now,
        expires_at,
        retired_at: None,
    }
}

fn changed(before: Service, change: ServiceChange) -> Service {
    Service {
        description: change.description.unwrap_or(before.description),
        disabled: change.disabled.unwrap_or(before.disabled),
        scopes: change.scopes.unwrap_or(before.scopes),
        limits: change.limits.over(before.limits),
        public_keys: change.public_keys.unwrap_or(before.public_keys),
        ..before
    }
}

/// Names the settings of a service that a change modifies, for the audit trail. It contains only names, because
/// descriptions and keys are texts from requests.
fn difference(before: &Service, after: &Service) -> String {
    let state = if after.disabled {
        "disabled"
    } else {
        "enabled"
    };
    let changes = [
        (before.disabled != after.disabled, state),
        (before.description != after.description, "description"),
        (before.scopes != after.scopes, "scopes"),
        (before.limits != after.limits, "limits"),
        (before.public_keys != after.public_keys, "public_keys"),
    ];
    let differing = changes.into_iter().filter(|(differs, _)| *differs);
    let names: Vec<_> = differing.map(|(_, name)| name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::{super::plans::assert_indexed, *};

    #[tokio::test]
    async fn no_statement_reads_the_whole_table() {
        assert_indexed(&[
            IS_TAKEN,
            CHANGE,
            DELETE,
            FORGET_USE,
            HEARTBEAT,
            AUTHENTICATED,
            REVISION,
        ])
        .await;
    }
}
