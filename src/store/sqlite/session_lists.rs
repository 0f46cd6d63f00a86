//! Lists of sessions: those of one user, and pages of all.

use futures_util::TryStreamExt;
use sqlx::SqliteConnection;

use super::{error::Failure, session_rows::record_if_readable, session_sql as sql};
use crate::{
    accounts::UserId,
    clock::Timestamp,
    error::StoreError,
    sessions::{SessionFilter, SessionId, SessionRecord},
};

/// Returns the live sessions of a user, newest first. Unreadable ones are left out.
pub(super) async fn list_of_user(
    connection: &mut SqliteConnection,
    user: UserId,
    now: Timestamp,
) -> Result<Vec<SessionRecord>, StoreError> {
    let rows = sqlx::query(sql::LIST_USER)
        .bind(user.to_string())
        .bind(now.as_millis())
        .fetch_all(connection)
        .await
        .map_err(Failure)?;
    Ok(rows.iter().filter_map(record_if_readable).collect())
}

/// Returns one page; see [`SessionRepository::page`](crate::sessions::SessionRepository::page).
pub(super) async fn list_page(
    connection: &mut SqliteConnection,
    filter: SessionFilter,
    after: Option<&SessionId>,
    limit: usize,
    now: Timestamp,
) -> Result<Vec<SessionRecord>, StoreError> {
    let page = match filter {
        SessionFilter { user: Some(_), .. } => sql::PAGE_OF_USER,
        SessionFilter { role: Some(_), .. } => sql::PAGE_OF_ROLE,
        SessionFilter { .. } => sql::PAGE,
    };
    // The empty text sorts before every ID.
    let after = after.map_or_else(String::new, |id| id.as_str().to_owned());
    let role = filter.role.map(|role| role as u8);
    let mut page = sqlx::query(page).bind(after).bind(now.as_millis());
    if let Some(user) = filter.user {
        page = page.bind(user.to_string()).bind(role);
    } else if role.is_some() {
        page = page.bind(role);
    }
    // Rows are read one by one without LIMIT: unreadable rows must not make this look like the last page.
    let mut rows = page.fetch(connection);
    let mut records = Vec::new();
    while records.len() < limit {
        match rows.try_next().await.map_err(Failure)? {
            Some(row) => records.extend(record_if_readable(&row)),
            None => break,
        }
    }
    Ok(records)
}
