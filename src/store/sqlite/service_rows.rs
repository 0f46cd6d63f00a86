//! Converts rows to services and their credentials.

use std::{sync::Arc, time::Duration};

use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::error::Failure;
use crate::{
    clock::Timestamp,
    error::StoreError,
    services::{
        Credential, LimitPolicy, Register, Revision, Scope, SecretDigest, Service, ServiceId,
        Totals,
    },
};

/// The columns of a service.
macro_rules! service {
    ($rest:literal) => {
        concat!(
            "SELECT id, registration, description, disabled, created_at, scopes, interval_us, interval_rest_ns, burst, \
             daily_quota, last_heartbeat, last_authentication, public_keys FROM services ",
            $rest
        )
    };
}

/// The columns of a credential.
macro_rules! credential {
    ($rest:literal) => {
        concat!(
            "SELECT seq, id, service, digest, created_at, expires_at, retired_at FROM service_credentials ",
            $rest
        )
    };
}

const FIND: &str = service!("WHERE id = ?1");
const CREDENTIALS: &str = credential!("WHERE service = ?1 ORDER BY seq DESC");
/// These two read whole tables: that is their purpose, and the number of services is limited.
const ALL: &str = service!("ORDER BY id");
const ALL_CREDENTIALS: &str = credential!("ORDER BY service, seq DESC");
const REGISTER: &str = "SELECT revision, registered, deleted, rotated, rotations_refused \
    FROM service_register WHERE id = 1";

/// Reads a service with its credentials.
pub(super) async fn find(
    connection: &mut SqliteConnection,
    id: &ServiceId,
) -> Result<Option<Service>, StoreError> {
    let find = sqlx::query(FIND).bind(id.as_str().to_owned());
    let Some(row) = find
        .fetch_optional(&mut *connection)
        .await
        .map_err(Failure)?
    else {
        return Ok(None);
    };
    let mut service = service_of(&row)?;
    let credentials = sqlx::query(CREDENTIALS).bind(id.as_str().to_owned());
    for row in credentials.fetch_all(connection).await.map_err(Failure)? {
        service.credentials.push(credential_of(&row)?);
    }
    Ok(Some(service))
}

/// Reads the whole register. The result is consistent if the connection is in a transaction.
pub(super) async fn all(connection: &mut SqliteConnection) -> Result<Register, StoreError> {
    let register = sqlx::query(REGISTER)
        .fetch_one(&mut *connection)
        .await
        .map_err(Failure)?;
    let services = sqlx::query(ALL)
        .fetch_all(&mut *connection)
        .await
        .map_err(Failure)?;
    let mut services = services
        .iter()
        .map(service_of)
        .collect::<Result<Vec<_>, _>>()?;
    for row in sqlx::query(ALL_CREDENTIALS)
        .fetch_all(connection)
        .await
        .map_err(Failure)?
    {
        let owner: &str = row.try_get("service").map_err(Failure)?;
        let owner = services
            .binary_search_by(|it| it.id.as_str().cmp(owner))
            .map_err(|_| StoreError::Corrupt("credential.service"))?;
        services[owner].credentials.push(credential_of(&row)?);
    }
    Ok(Register {
        revision: Revision(register.try_get("revision").map_err(Failure)?),
        services,
        totals: Totals {
            registered: register.try_get("registered").map_err(Failure)?,
            deleted: register.try_get("deleted").map_err(Failure)?,
            rotated: register.try_get("rotated").map_err(Failure)?,
            rotations_refused: register.try_get("rotations_refused").map_err(Failure)?,
        },
    })
}

/// The scopes in the format that [`find`] reads.
pub(super) fn scopes_text(scopes: &[Scope]) -> String {
    let scopes: Vec<&str> = scopes.iter().map(Scope::as_str).collect();
    scopes.join(" ")
}

/// A quota as it is stored. One that does not fit becomes the maximum, which no service reaches.
pub(super) fn quota_number(limits: &LimitPolicy) -> Option<i64> {
    let number = |quota| i64::try_from(quota).unwrap_or(i64::MAX);
    limits.daily_quota.map(number)
}

/// Reads a service without its credentials.
fn service_of(row: &SqliteRow) -> Result<Service, StoreError> {
    let id: &str = row.try_get("id").map_err(Failure)?;
    let registration: &str = row.try_get("registration").map_err(Failure)?;
    let scopes: &str = row.try_get("scopes").map_err(Failure)?;
    let public_keys: Option<&str> = row.try_get("public_keys").map_err(Failure)?;
    Ok(Service {
        id: id.parse().map_err(|_| StoreError::Corrupt("service.id"))?,
        registration: registration
            .parse()
            .map_err(|_| StoreError::Corrupt("service.registration"))?,
        description: row.try_get("description").map_err(Failure)?,
        disabled: row.try_get("disabled").map_err(Failure)?,
        created_at: Timestamp::from_millis(row.try_get("created_at").map_err(Failure)?),
        scopes: scopes
            .split_terminator(' ')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map_err(|_| StoreError::Corrupt("service.scopes"))?,
        limits: LimitPolicy {
            interval: Duration::from_micros(row.try_get("interval_us").map_err(Failure)?)
                + Duration::from_nanos(row.try_get("interval_rest_ns").map_err(Failure)?),
            burst: row.try_get("burst").map_err(Failure)?,
            daily_quota: row.try_get("daily_quota").map_err(Failure)?,
        },
        credentials: Vec::new(),
        public_keys: public_keys.map(Arc::from),
        last_heartbeat: time_if_any(row, "last_heartbeat")?,
        last_authentication: time_if_any(row, "last_authentication")?,
    })
}

fn credential_of(row: &SqliteRow) -> Result<Credential, StoreError> {
    let id: &str = row.try_get("id").map_err(Failure)?;
    Ok(Credential {
        id: id
            .parse()
            .map_err(|_| StoreError::Corrupt("credential.id"))?,
        digest: SecretDigest::from_bytes(
            row.try_get::<&[u8], _>("digest")
                .map_err(Failure)?
                .try_into()
                .map_err(|_| StoreError::Corrupt("credential.digest"))?,
        ),
        created_at: Timestamp::from_millis(row.try_get("created_at").map_err(Failure)?),
        expires_at: time_if_any(row, "expires_at")?,
        retired_at: time_if_any(row, "retired_at")?,
    })
}

pub(super) fn time_if_any(row: &SqliteRow, column: &str) -> Result<Option<Timestamp>, StoreError> {
    let time: Option<i64> = row.try_get(column).map_err(Failure)?;
    Ok(time.map(Timestamp::from_millis))
}

#[cfg(test)]
mod tests {
    use super::{super::plans::assert_indexed, *};

    #[tokio::test]
    async fn no_statement_reads_the_whole_table() {
        assert_indexed(&[FIND, CREDENTIALS, REGISTER]).await;
    }
}
