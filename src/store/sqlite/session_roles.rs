//! Which version of an account has set the role of its sessions last.

use std::time::Duration;

use sqlx::{Row, SqliteConnection};

use super::{session_rows::role_of, session_sql as sql};
use crate::{
    accounts::{Role, UserId},
    clock::Timestamp,
    error::StoreError,
};

/// How long ago a version was made that is forgotten: no write is so late.
const KEPT: Duration = Duration::from_hours(1);

/// The role that the newest version of an account has set lately, and that version; `None` if none has.
pub(super) async fn role_in_force(
    connection: &mut SqliteConnection,
    user: UserId,
) -> Result<Option<(Role, i64)>, StoreError> {
    let row = sqlx::query(sql::ROLE_IN_FORCE)
        .bind(user.to_string())
        .fetch_optional(connection)
        .await?;
    row.map(|row| Ok((role_of(&row)?, row.try_get("version")?)))
        .transpose()
}

/// Keeps what [`role_in_force`] returns.
pub(super) async fn put_in_force(
    connection: &mut SqliteConnection,
    user: UserId,
    (role, version): (Role, i64),
    now: Timestamp,
) -> Result<(), StoreError> {
    let kept = i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX);
    sqlx::query(sql::FORGET_ROLES)
        .bind(now.as_millis().saturating_sub(kept))
        .execute(&mut *connection)
        .await?;
    sqlx::query(sql::SET_ROLE_IN_FORCE)
        .bind(user.to_string())
        .bind(role as u8)
        .bind(version)
        .execute(connection)
        .await?;
    Ok(())
}
