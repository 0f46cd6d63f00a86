-- The newest version of an account that has set the role of its sessions, and that role: kept for an hour, so that a login that
-- read an older version cannot bring an old role back.
CREATE TABLE session_roles (
    user_id TEXT NOT NULL PRIMARY KEY,
    role INTEGER NOT NULL CHECK (role BETWEEN 0 AND 3),
    version INTEGER NOT NULL,
    set_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX session_roles_by_time ON session_roles (set_at);
