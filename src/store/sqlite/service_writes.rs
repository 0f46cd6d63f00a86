//! Writes services, their credentials, and the revision and totals of the register.

use sqlx::SqliteConnection;

use super::service_rows::{quota_number, scopes_text};
use crate::{
    clock::Timestamp,
    services::{Credential, LimitPolicy, Service, ServiceId},
};

const REGISTER: &str = "INSERT INTO services \
    (id, registration, description, disabled, created_at, scopes, interval_us, burst, daily_quota, public_keys, \
    interval_rest_ns) VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
const ADD_CREDENTIAL: &str = "INSERT INTO service_credentials \
    (id, service, digest, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)";
const RETIRE: &str =
    "UPDATE service_credentials SET retired_at = ?2, expires_at = ?3 WHERE id = ?1";
const REMOVE_OTHERS: &str = "DELETE FROM service_credentials WHERE service = ?1 AND id <> ?2";

pub(super) const RAISE: &str = "UPDATE service_register SET revision = revision + 1 WHERE id = 1";
pub(super) const REGISTERED: &str = "UPDATE service_register \
    SET revision = revision + 1, registered = registered + 1 WHERE id = 1";
pub(super) const DELETED: &str = "UPDATE service_register \
    SET revision = revision + 1, deleted = deleted + 1 WHERE id = 1";
pub(super) const ROTATED: &str = "UPDATE service_register \
    SET revision = revision + 1, rotated = rotated + 1 WHERE id = 1";
pub(super) const ROTATION_REFUSED: &str =
    "UPDATE service_register SET rotations_refused = rotations_refused + 1 WHERE id = 1";

/// Raises the revision, in the transaction of a change that readers of keys or revocations have to see.
pub(super) async fn raise_revision(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    note(connection, RAISE).await
}

/// Runs a statement that changes the revision or a total of the register.
pub(super) async fn note(
    connection: &mut SqliteConnection,
    statement: &'static str,
) -> Result<(), sqlx::Error> {
    sqlx::query(statement).execute(connection).await.map(drop)
}

/// The interval of a rate: whole microseconds, and the remaining nanoseconds.
pub(super) fn interval_parts(limits: &LimitPolicy) -> (i64, i64) {
    let micros = i64::try_from(limits.interval.as_micros()).unwrap_or(i64::MAX);
    (micros, (limits.interval.subsec_nanos() % 1_000).into())
}

/// Adds a service with its credentials.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    service: &Service,
) -> Result<(), sqlx::Error> {
    sqlx::query(REGISTER)
        .bind(service.id.as_str().to_owned())
        .bind(service.registration.to_string())
        .bind(service.description.clone())
        .bind(service.created_at.as_millis())
        .bind(scopes_text(&service.scopes))
        .bind(interval_parts(&service.limits).0)
        .bind(service.limits.burst)
        .bind(quota_number(&service.limits))
        .bind(service.public_keys.as_deref().map(str::to_owned))
        .bind(interval_parts(&service.limits).1)
        .execute(&mut *connection)
        .await?;
    for credential in &service.credentials {
        add_credential(connection, &service.id, credential).await?;
    }
    Ok(())
}

/// Adds a credential to a service.
pub(super) async fn add_credential(
    connection: &mut SqliteConnection,
    service: &ServiceId,
    credential: &Credential,
) -> Result<(), sqlx::Error> {
    sqlx::query(ADD_CREDENTIAL)
        .bind(credential.id.to_string())
        .bind(service.as_str().to_owned())
        .bind(credential.digest.as_bytes().to_vec())
        .bind(credential.created_at.as_millis())
        .bind(credential.expires_at.map(Timestamp::as_millis))
        .execute(connection)
        .await
        .map(drop)
}

/// Retires the credential as requested, and removes all others of the service.
pub(super) async fn retire(
    connection: &mut SqliteConnection,
    service: &ServiceId,
    credential: &Credential,
) -> Result<(), sqlx::Error> {
    sqlx::query(RETIRE)
        .bind(credential.id.to_string())
        .bind(credential.retired_at.map(Timestamp::as_millis))
        .bind(credential.expires_at.map(Timestamp::as_millis))
        .execute(&mut *connection)
        .await?;
    sqlx::query(REMOVE_OTHERS)
        .bind(service.as_str().to_owned())
        .bind(credential.id.to_string())
        .execute(connection)
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::{super::plans::assert_indexed, *};

    #[tokio::test]
    async fn no_statement_reads_the_whole_table() {
        assert_indexed(&[
            RETIRE,
            REMOVE_OTHERS,
            RAISE,
            REGISTERED,
            DELETED,
            ROTATED,
            ROTATION_REFUSED,
        ])
        .await;
    }
}
