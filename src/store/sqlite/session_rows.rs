//! Reads and writes rows: records, ends, and the totals.

use std::time::Duration;

use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{error::Failure, session_sql as sql};
use crate::{
    accounts::{Role, UserId},
    clock::Timestamp,
    error::StoreError,
    sessions::{Census, EndReason, Ended, SessionId, SessionRecord, SessionState},
};

/// Reads the record of a live session.
pub(super) async fn load(
    connection: &mut SqliteConnection,
    id: &SessionId,
    now: Timestamp,
) -> Result<Option<SessionRecord>, StoreError> {
    let row = sqlx::query(sql::LOAD)
        .bind(id.as_str().to_owned())
        .bind(now.as_millis())
        .fetch_optional(connection)
        .await
        .map_err(Failure)?;
    row.as_ref().map(record_of).transpose()
}

/// Adds a session that started under this account version.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    record: &SessionRecord,
    version: i64,
    state: String,
) -> Result<(), StoreError> {
    sqlx::query(sql::INSERT)
        .bind(record.id.as_str().to_owned())
        .bind(record.user_id.to_string())
        .bind(record.username.as_str().to_owned())
        .bind(record.role as u8)
        .bind(record.created_at.as_millis())
        .bind(record.last_seen_at.as_millis())
        .bind(record.expires_at.as_millis())
        .bind(record.ends_at.as_millis())
        .bind(i64::try_from(record.idle.as_millis()).unwrap_or(i64::MAX))
        .bind(record.user_agent.clone())
        .bind(state)
        .bind(record.key_role as u8)
        .bind(record.network.map(|it| it.to_string()))
        .bind(version)
        .execute(connection)
        .await
        .map_err(Failure)?;
    Ok(())
}

/// Reads a record.
pub(super) fn record_of(row: &SqliteRow) -> Result<SessionRecord, StoreError> {
    let username: String = row.try_get("username").map_err(Failure)?;
    let state: String = row.try_get("state").map_err(Failure)?;
    let state: SessionState =
        serde_json::from_str(&state).map_err(|_| StoreError::Corrupt("session.state"))?;
    let idle: u64 = row.try_get("idle").map_err(Failure)?;
    let role = role_of(row)?;
    let key_role: Option<u8> = row.try_get("key_role").map_err(Failure)?;
    let key_role = key_role.map_or(Some(role), |index| Role::from_index(index.into()));
    let network: Option<String> = row.try_get("network").map_err(Failure)?;
    let network = network.map(|it| it.parse()).transpose();
    let id: String = row.try_get("id").map_err(Failure)?;
    Ok(SessionRecord {
        id: id.parse().map_err(|_| StoreError::Corrupt("session.id"))?,
        user_id: user_id_of(row)?,
        username: username
            .parse()
            .map_err(|_| StoreError::Corrupt("session.username"))?,
        role,
        key_role: key_role.ok_or(StoreError::Corrupt("session.key_role"))?,
        created_at: time_of(row, "created_at")?,
        last_seen_at: time_of(row, "last_seen_at")?,
        expires_at: time_of(row, "expires_at")?,
        ends_at: time_of(row, "ends_at")?,
        idle: Duration::from_millis(idle),
        user_agent: row.try_get("user_agent").map_err(Failure)?,
        network: network.map_err(|_| StoreError::Corrupt("session.network"))?,
        state,
    })
}

/// Reads a record for a list; unreadable ones are left out.
pub(super) fn record_if_readable(row: &SqliteRow) -> Option<SessionRecord> {
    match record_of(row) {
        Ok(record) => Some(record),
        Err(error) => {
            tracing::error!(error = %error, "unreadable session omitted from a list");
            None
        }
    }
}

/// The state in the format that [`record_of`] reads.
pub(super) fn state_text(state: &SessionState) -> Result<String, StoreError> {
    serde_json::to_string(state).map_err(|error| StoreError::Unavailable(error.into()))
}

/// The changes of the totals by one operation; [`Tally::count`] writes them in the operation's own transaction.
#[derive(Debug, Default)]
pub(super) struct Tally {
    started: [i64; 4],
    ended: [[i64; 7]; 4],
}

impl Tally {
    pub(super) const fn start(&mut self, role: Role) {
        self.started[role.index()] += 1;
    }

    /// Counts a live session that changes its role.
    pub(super) const fn change_role(&mut self, from: Role, to: Role) {
        self.end(from, EndReason::RoleChanged);
        self.start(to);
    }

    const fn end(&mut self, role: Role, reason: EndReason) {
        self.ended[role.index()][reason.index()] += 1;
    }

    /// Treats deleted rows as sessions that ended at `now`: for `reason`, or by expiry if that came first.
    ///
    /// A row without a readable ID is ended and counted like any other, because otherwise the reaper would retry it
    /// forever, but it cannot be returned to the caller.
    pub(super) fn end_all(
        &mut self,
        rows: &[SqliteRow],
        now: Timestamp,
        reason: EndReason,
    ) -> Result<Vec<Ended>, StoreError> {
        let mut ends = Vec::with_capacity(rows.len());
        for row in rows {
            let role = role_of(row)?;
            let (reason, ended_at) = fate_of(row, now, reason)?;
            self.end(role, reason);
            let id: Option<String> = row.try_get("id").ok();
            let Some((id, user_id)) = id.and_then(|id| id.parse().ok()).zip(user_id_of(row).ok())
            else {
                tracing::error!("ended a session with an unreadable record");
                continue;
            };
            ends.push(Ended {
                id,
                user_id,
                role,
                reason,
                lasted: ended_at.since(time_of(row, "created_at")?),
            });
        }
        Ok(ends)
    }

    /// Adds the changes to the totals.
    pub(super) async fn count(&self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        for role in Role::ALL {
            let (started, ended) = (self.started[role.index()], self.ended[role.index()]);
            if started == 0 && ended.iter().all(|n| *n == 0) {
                continue;
            }
            let mut count = sqlx::query(sql::COUNT).bind(role as u8).bind(started);
            for n in ended {
                count = count.bind(n);
            }
            count.execute(&mut *connection).await?;
        }
        Ok(())
    }
}

/// Reads the four rows of the census.
pub(super) fn census_of(rows: &[SqliteRow]) -> Result<Census, StoreError> {
    let mut census = Census::default();
    for (role, row) in rows.iter().enumerate() {
        let at = role_of(row)?.index();
        if at != role {
            return Err(StoreError::Corrupt("session_tallies.role"));
        }
        census.expired[at] = row.try_get("expired_sessions").map_err(Failure)?;
        census.sessions[at] = less(row, "sessions", "expired_sessions")?;
        census.users[at] = less(row, "users", "expired_users")?;
        census.totals.started[at] = row.try_get("started").map_err(Failure)?;
        for reason in EndReason::ALL {
            census.totals.ended[at][reason.index()] =
                row.try_get(reason.as_str()).map_err(Failure)?;
        }
    }
    if rows.len() == Role::ALL.len() {
        Ok(census)
    } else {
        Err(StoreError::Corrupt("session_tallies"))
    }
}

fn less(row: &SqliteRow, all: &str, expired: &str) -> Result<u64, StoreError> {
    let (all, expired): (u64, u64) = (
        row.try_get(all).map_err(Failure)?,
        row.try_get(expired).map_err(Failure)?,
    );
    all.checked_sub(expired)
        .ok_or(StoreError::Corrupt("session_tallies"))
}

/// Returns why and when a session ended that was ended at `now` for `reason`, or had expired before.
fn fate_of(
    row: &SqliteRow,
    now: Timestamp,
    reason: EndReason,
) -> Result<(EndReason, Timestamp), StoreError> {
    let expires_at = time_of(row, "expires_at")?;
    if expires_at > now {
        return Ok((reason, now));
    }
    let at_greatest_age = expires_at >= time_of(row, "ends_at")?;
    let expiry = if at_greatest_age {
        EndReason::Absolute
    } else {
        EndReason::Idle
    };
    Ok((expiry, expires_at))
}

pub(super) fn role_of(row: &SqliteRow) -> Result<Role, StoreError> {
    let role: u8 = row.try_get("role").map_err(Failure)?;
    Role::from_index(role.into()).ok_or(StoreError::Corrupt("session.role"))
}

fn user_id_of(row: &SqliteRow) -> Result<UserId, StoreError> {
    let id: String = row.try_get("user_id").map_err(Failure)?;
    id.parse()
        .map_err(|_| StoreError::Corrupt("session.user_id"))
}

fn time_of(row: &SqliteRow, column: &str) -> Result<Timestamp, StoreError> {
    Ok(Timestamp::from_millis(
        row.try_get(column).map_err(Failure)?,
    ))
}
