//! The role of a user's sessions: the account version that last set it, and the move to another one.

use std::time::Duration;

use sqlx::{Row, SqliteConnection};

use super::{
    error::Failure,
    session_rows::{Tally, role_of},
    session_sql as sql,
};
use crate::{
    accounts::{Role, UserId},
    clock::Timestamp,
    error::StoreError,
};

/// Versions older than this are removed: no write is that late.
const KEPT: Duration = Duration::from_hours(1);

/// Returns the role that the newest account version has recently set, and that version; `None` if there is none.
pub(super) async fn role_in_force(
    connection: &mut SqliteConnection,
    user: UserId,
) -> Result<Option<(Role, i64)>, StoreError> {
    let row = sqlx::query(sql::ROLE_IN_FORCE)
        .bind(user.to_string())
        .fetch_optional(connection)
        .await
        .map_err(Failure)?;
    row.map(|row| Ok((role_of(&row)?, row.try_get("version").map_err(Failure)?)))
        .transpose()
}

/// Stores what [`role_in_force`] returns.
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
        .await
        .map_err(Failure)?;
    sqlx::query(sql::SET_ROLE_IN_FORCE)
        .bind(user.to_string())
        .bind(role as u8)
        .bind(version)
        .execute(connection)
        .await
        .map_err(Failure)?;
    Ok(())
}

/// Returns the live sessions of a user, oldest first: their sequence number and role.
pub(super) async fn live_of_user(
    connection: &mut SqliteConnection,
    user: UserId,
    now: Timestamp,
) -> Result<Vec<(i64, Role)>, StoreError> {
    let rows = sqlx::query(sql::LIVE_OF_USER)
        .bind(user.to_string())
        .bind(now.as_millis())
        .fetch_all(connection)
        .await
        .map_err(Failure)?;
    rows.iter()
        .map(|row| Ok((row.try_get("seq").map_err(Failure)?, role_of(row)?)))
        .collect()
}

/// Moves those of `live` that have another role to `role`. Returns how many.
pub(super) async fn move_live(
    connection: &mut SqliteConnection,
    user: UserId,
    role: Role,
    now: Timestamp,
    live: &[(i64, Role)],
    tally: &mut Tally,
) -> Result<u64, StoreError> {
    let mut moved = 0;
    for (_, from) in live.iter().filter(|(_, from)| *from != role) {
        tally.change_role(*from, role);
        moved += 1;
    }
    if moved > 0 {
        sqlx::query(sql::MOVE)
            .bind(user.to_string())
            .bind(now.as_millis())
            .bind(role as u8)
            .execute(connection)
            .await
            .map_err(Failure)?;
    }
    Ok(moved)
}
