//! Reads accounts, and converts rows to them.

use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{account_sql::FIND, error::Failure};
use crate::{
    accounts::{Account, Profile, Role, User, UserId},
    clock::Timestamp,
    error::StoreError,
};

/// Reads the user of an account.
pub(super) async fn find_user(
    connection: &mut SqliteConnection,
    id: UserId,
) -> Result<Option<User>, StoreError> {
    let find = sqlx::query(FIND).bind(id.to_string());
    let row = find.fetch_optional(connection).await.map_err(Failure)?;
    row.as_ref().map(user_of).transpose()
}

pub(super) fn user_of(row: &SqliteRow) -> Result<User, StoreError> {
    let id: String = row.try_get("id").map_err(Failure)?;
    let username: String = row.try_get("username").map_err(Failure)?;
    let role: u8 = row.try_get("role").map_err(Failure)?;
    Ok(User {
        id: id.parse().map_err(|_| StoreError::Corrupt("account.id"))?,
        username: username
            .parse()
            .map_err(|_| StoreError::Corrupt("account.username"))?,
        role: Role::from_index(role.into()).ok_or(StoreError::Corrupt("account.role"))?,
        disabled: row.try_get("disabled").map_err(Failure)?,
        profile: profile_of(row)?,
        created_at: Timestamp::from_millis(row.try_get("created_at").map_err(Failure)?),
        version: row.try_get("version").map_err(Failure)?,
        sessions_since: row.try_get("sessions_since").map_err(Failure)?,
    })
}

fn profile_of(row: &SqliteRow) -> Result<Profile, StoreError> {
    let display_name: Option<String> = row.try_get("display_name").map_err(Failure)?;
    let email: Option<String> = row.try_get("email").map_err(Failure)?;
    let display_name = display_name.map(|it| it.parse()).transpose();
    let email = email.map(|it| it.parse()).transpose();
    Ok(Profile {
        display_name: display_name.map_err(|_| StoreError::Corrupt("account.display_name"))?,
        email: email.map_err(|_| StoreError::Corrupt("account.email"))?,
    })
}

pub(super) fn account_of(row: &SqliteRow) -> Result<Account, StoreError> {
    let password_hash: String = row.try_get("password_hash").map_err(Failure)?;
    Ok(Account {
        user: user_of(row)?,
        password_hash: password_hash.into(),
    })
}
