//! The statements on sessions. `?1` is the search key and `?2` the current time, wherever both occur.

/// The columns of a record. They are named instead of `*`: a newer process may have added columns.
macro_rules! record {
    () => {
        "id, user_id, username, role, created_at, last_seen_at, expires_at, ends_at, idle, \
         user_agent, state, key_role, network"
    };
}

/// The columns of an ended session.
macro_rules! end {
    () => {
        "id, user_id, role, created_at, expires_at, ends_at"
    };
}

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT ", record!(), " FROM sessions ", $rest)
    };
}

macro_rules! delete {
    ($rest:literal) => {
        concat!("DELETE FROM sessions ", $rest, " RETURNING ", end!())
    };
}

pub(super) const INSERT: &str = concat!(
    "INSERT INTO sessions (",
    record!(),
    ", account_version) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
);

pub(super) const LOAD: &str = select!("WHERE id = ?1 AND expires_at > ?2");

/// `?3`: the new expiry, before it is limited to the absolute one. `?4`: the minimum step, except for the move to the
/// absolute expiry.
pub(super) const TOUCH: &str = concat!(
    "UPDATE sessions SET expires_at = min(?3, ends_at), last_seen_at = ?2 \
     WHERE id = ?1 AND expires_at > ?2 AND min(?3, ends_at) > expires_at \
     AND (?3 >= ends_at OR ?3 - expires_at >= ?4) RETURNING ",
    record!()
);

pub(super) const UPDATE: &str = "UPDATE sessions SET state = ?3 WHERE id = ?1 AND expires_at > ?2";

/// The live sessions of a user, oldest first, with their roles.
pub(super) const LIVE_OF_USER: &str =
    "SELECT seq, role FROM sessions WHERE user_id = ?1 AND expires_at > ?2 ORDER BY seq";

/// `?3`: the new role of the user's live sessions.
pub(super) const MOVE: &str = "UPDATE sessions \
     SET role = ?3, key_role = min(coalesce(key_role, role), ?3) \
     WHERE user_id = ?1 AND expires_at > ?2 AND role <> ?3";

/// `?3`: the new ID. `?4`: the user.
pub(super) const RENEW: &str = concat!(
    "UPDATE sessions SET id = ?3, key_role = role \
     WHERE id = ?1 AND expires_at > ?2 AND user_id = ?4 RETURNING ",
    record!()
);

/// The newest account version that has set the role of the user's sessions, and that role.
pub(super) const ROLE_IN_FORCE: &str = "SELECT role, version FROM session_roles WHERE user_id = ?1";

/// `?2`: the role. `?3`: the version.
pub(super) const SET_ROLE_IN_FORCE: &str = "INSERT INTO session_roles (user_id, role, version) \
     VALUES (?1, ?2, ?3) ON CONFLICT (user_id) DO UPDATE \
     SET role = excluded.role, version = excluded.version";

/// Removes versions before `?1`.
pub(super) const FORGET_ROLES: &str = "DELETE FROM session_roles WHERE version < ?1";

pub(super) const END: &str = delete!("WHERE id = ?1");

/// `?1`: the sequence number.
pub(super) const EVICT: &str = delete!("WHERE seq = ?1");

/// `?2`: the session to keep, or null.
pub(super) const END_USER: &str = delete!("WHERE user_id = ?1 AND id IS NOT ?2");

/// `?2`: the account version that the remaining sessions were started under, or an older one.
pub(super) const END_OLDER: &str = delete!("WHERE user_id = ?1 AND account_version < ?2");

pub(super) const LIST_USER: &str =
    select!("WHERE user_id = ?1 AND expires_at > ?2 ORDER BY seq DESC");

/// `?1`: the ID after which the page begins, or the empty text.
pub(super) const PAGE: &str = select!("WHERE id > ?1 AND expires_at > ?2 ORDER BY id");

/// `?3`: the role.
pub(super) const PAGE_OF_ROLE: &str =
    select!("WHERE role = ?3 AND id > ?1 AND expires_at > ?2 ORDER BY id");

/// `?3`: the user. `?4`: the role, or null for any. A user has few sessions: the plus prevents a scan of all IDs.
pub(super) const PAGE_OF_USER: &str = select!(
    "WHERE user_id = ?3 AND +id > ?1 AND expires_at > ?2 AND (?4 IS NULL OR role = ?4) ORDER BY +id"
);

/// `?1`: the current time.
pub(super) const ANY_EXPIRED: &str =
    "SELECT EXISTS (SELECT 1 FROM sessions WHERE role IN (0, 1, 2, 3) AND expires_at <= ?1)";

/// `?1`: the current time. `?2`: the maximum number.
pub(super) const REAP: &str = delete!(
    "WHERE seq IN (SELECT seq FROM sessions \
     WHERE role IN (0, 1, 2, 3) AND expires_at <= ?1 LIMIT ?2)"
);

/// Corrects sessions that were written while the clock was ahead of `?1`, the current time: they start now, and were
/// last used now. Checks those that expire later than `?2`.
pub(super) const FROM_THE_FUTURE: &str = "UPDATE sessions SET \
     ends_at = ends_at - max(0, created_at - ?1), \
     expires_at = min(expires_at, ?1 + idle, ends_at - max(0, created_at - ?1)), \
     created_at = min(created_at, ?1), last_seen_at = ?1 \
     WHERE role IN (0, 1, 2, 3) AND expires_at > ?2 AND last_seen_at > ?1";

/// Adds to the totals of one role, `?1`: starts, then ends in the order of `EndReason`.
pub(super) const COUNT: &str = "UPDATE session_tallies SET started = started + ?2, \
     logout = logout + ?3, idle = idle + ?4, absolute = absolute + ?5, revoked = revoked + ?6, \
     evicted = evicted + ?7, role_changed = role_changed + ?8, \
     lost = lost + ?9 WHERE role = ?1";

/// One row per role. `?1`: the current time. One statement, so that all of it is read from one state of the file.
pub(super) const CENSUS: &str = "SELECT role, sessions, users, started, \
     logout, idle, absolute, revoked, evicted, role_changed, lost, \
     (SELECT count(*) FROM sessions WHERE sessions.role = session_tallies.role \
      AND sessions.expires_at <= ?1) AS expired_sessions, \
     (SELECT count(*) FROM session_users WHERE session_users.role = session_tallies.role \
      AND session_users.expires_at <= ?1) AS expired_users \
     FROM session_tallies ORDER BY role";

pub(super) const PING: &str = "SELECT count(*) FROM session_tallies";

#[cfg(test)]
mod tests {
    use super::{super::plans::assert_indexed, *};

    #[tokio::test]
    async fn no_statement_reads_the_whole_table() {
        assert_indexed(&[
            LOAD,
            TOUCH,
            UPDATE,
            LIVE_OF_USER,
            MOVE,
            RENEW,
            END,
            EVICT,
            END_USER,
            LIST_USER,
            PAGE,
            PAGE_OF_ROLE,
            PAGE_OF_USER,
            ANY_EXPIRED,
            REAP,
            FROM_THE_FUTURE,
            CENSUS,
        ])
        .await;
    }
}
