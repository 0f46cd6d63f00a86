//! The statements of checks and repairs. Unlike those of `session_sql`, most of them scan whole tables.

/// Every session, grouped by user, and the entry of that user in the user index. IDs are read as bytes, because a
/// damaged one may not be text.
pub(super) const SESSIONS: &str = "SELECT seq, CAST(user_id AS BLOB) AS owner, \
     id, user_id, username, role, created_at, last_seen_at, expires_at, ends_at, idle, \
     user_agent, state, key_role, network, \
     (SELECT u.role FROM session_users u WHERE u.user_id = sessions.user_id) AS user_role, \
     (SELECT u.expires_at FROM session_users u WHERE u.user_id = sessions.user_id) AS user_expires_at \
     FROM sessions ORDER BY sessions.user_id";

/// Users in the user index who have no session at all.
pub(super) const USERS_WITHOUT: &str = "SELECT CAST(user_id AS BLOB) AS owner FROM session_users u \
     WHERE NOT EXISTS (SELECT 1 FROM sessions WHERE sessions.user_id = u.user_id)";

/// The values that triggers maintain, and the same values counted from the user index. `?1`: the current time.
pub(super) const TALLIES: &str = "SELECT role, sessions, users, started, \
     logout, idle, absolute, revoked, evicted, role_changed, lost, \
     (SELECT count(*) FROM sessions s WHERE s.role = t.role AND s.expires_at <= ?1) \
      AS expired_sessions, \
     (SELECT count(*) FROM session_users u WHERE u.role = t.role AND u.expires_at <= ?1) \
      AS expired_users, \
     (SELECT count(*) FROM session_users u WHERE u.role = t.role) AS counted_users \
     FROM session_tallies t ORDER BY role";

/// `?1`: the sequence number.
pub(super) const SESSION: &str = "SELECT id, user_id, username, role, created_at, last_seen_at, \
     expires_at, ends_at, idle, user_agent, state, key_role, network FROM sessions WHERE seq = ?1";

/// `?1`: the user, as bytes.
pub(super) const FORGET_USER: &str = "DELETE FROM session_users WHERE user_id = CAST(?1 AS TEXT) \
     AND NOT EXISTS (SELECT 1 FROM sessions WHERE sessions.user_id = session_users.user_id)";

/// `?1`: the user, as bytes. `?2`: the current time. The role is that of the newest live session.
pub(super) const INDEX_USER: &str = "INSERT INTO session_users (user_id, role, expires_at) \
     SELECT user_id, \
     (SELECT s.role FROM sessions s WHERE s.user_id = sessions.user_id \
      ORDER BY s.expires_at > ?2 DESC, s.seq DESC LIMIT 1), \
     max(expires_at) FROM sessions WHERE user_id = CAST(?1 AS TEXT) GROUP BY user_id \
     ON CONFLICT (user_id) DO UPDATE SET role = excluded.role, expires_at = excluded.expires_at";

/// Recounts what the triggers maintain.
pub(super) const RETALLY: &str = "UPDATE session_tallies SET \
     sessions = (SELECT count(*) FROM sessions s WHERE s.role = session_tallies.role), \
     users = (SELECT count(*) FROM session_users u WHERE u.role = session_tallies.role) \
     WHERE sessions <> (SELECT count(*) FROM sessions s WHERE s.role = session_tallies.role) \
     OR users <> (SELECT count(*) FROM session_users u WHERE u.role = session_tallies.role)";

/// Makes the totals agree with the rows. Both only increase: readers treat them as counters.
pub(super) const SETTLE: &str = "UPDATE session_tallies SET \
     started = started + max(0, sessions - (started - (logout + idle + absolute + revoked + evicted + role_changed + lost))), \
     lost = lost + max(0, (started - (logout + idle + absolute + revoked + evicted + role_changed + lost)) - sessions) \
     WHERE started - (logout + idle + absolute + revoked + evicted + role_changed + lost) <> sessions";

/// What the file reports about itself.
pub(super) const FACTS: &str = "SELECT sqlite_version() AS version, \
     (SELECT max(version) FROM _sqlx_migrations WHERE success) AS schema, \
     (SELECT journal_mode FROM pragma_journal_mode) AS journal_mode, \
     (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size) AS bytes";
