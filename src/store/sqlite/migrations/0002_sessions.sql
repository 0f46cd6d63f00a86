-- Sessions, and what is counted of them.
--
-- Triggers keep what can be counted again from the rows: session_users, and the columns `sessions` and `users` of
-- session_tallies. The statements of the repository add what cannot: `started`, and the ends by reason. So
-- started - ended = sessions is a check of one against the other.

CREATE TABLE sessions (
    -- Rises with every session, so the least is the oldest, whatever the clock did. Never shown.
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    user_id TEXT NOT NULL,
    username TEXT NOT NULL,
    role INTEGER NOT NULL CHECK (role BETWEEN 0 AND 3),
    created_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL,
    -- Milliseconds.
    idle INTEGER NOT NULL,
    user_agent TEXT NOT NULL,
    -- A JSON object of strings.
    state TEXT NOT NULL
) STRICT;

CREATE INDEX sessions_by_user ON sessions (user_id, expires_at);
-- The expired ones of a role are a range: counted by the census, taken by the reaper.
CREATE INDEX sessions_by_expiry ON sessions (role, expires_at);
-- Pages of one role in the order of ids.
CREATE INDEX sessions_by_role ON sessions (role, id);

-- Who has a session, under which role, and when the last one of them expires.
CREATE TABLE session_users (
    user_id TEXT NOT NULL PRIMARY KEY,
    role INTEGER NOT NULL CHECK (role BETWEEN 0 AND 3),
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX session_users_by_expiry ON session_users (role, expires_at);

-- One row per role. Sessions and users that have expired are in here until the reaper ends them.
CREATE TABLE session_tallies (
    role INTEGER PRIMARY KEY,
    sessions INTEGER NOT NULL DEFAULT 0,
    users INTEGER NOT NULL DEFAULT 0,
    started INTEGER NOT NULL DEFAULT 0,
    logout INTEGER NOT NULL DEFAULT 0,
    idle INTEGER NOT NULL DEFAULT 0,
    absolute INTEGER NOT NULL DEFAULT 0,
    revoked INTEGER NOT NULL DEFAULT 0,
    evicted INTEGER NOT NULL DEFAULT 0,
    role_changed INTEGER NOT NULL DEFAULT 0
) STRICT;

INSERT INTO session_tallies (role) VALUES (0), (1), (2), (3);

CREATE TRIGGER session_added AFTER INSERT ON sessions BEGIN
    UPDATE session_tallies SET sessions = sessions + 1 WHERE role = NEW.role;
    INSERT INTO session_users (user_id, role, expires_at)
    VALUES (NEW.user_id, NEW.role, NEW.expires_at)
    ON CONFLICT (user_id) DO UPDATE
    SET role = excluded.role, expires_at = max(session_users.expires_at, excluded.expires_at);
END;

CREATE TRIGGER session_refreshed AFTER UPDATE OF expires_at ON sessions BEGIN
    UPDATE session_users
    SET expires_at = (SELECT max(expires_at) FROM sessions WHERE user_id = NEW.user_id)
    WHERE user_id = NEW.user_id;
END;

CREATE TRIGGER session_moved AFTER UPDATE OF role ON sessions BEGIN
    UPDATE session_tallies SET sessions = sessions - 1 WHERE role = OLD.role;
    UPDATE session_tallies SET sessions = sessions + 1 WHERE role = NEW.role;
    UPDATE session_users SET role = NEW.role WHERE user_id = NEW.user_id;
END;

CREATE TRIGGER session_removed AFTER DELETE ON sessions BEGIN
    UPDATE session_tallies SET sessions = sessions - 1 WHERE role = OLD.role;
    DELETE FROM session_users
    WHERE user_id = OLD.user_id
    AND NOT EXISTS (SELECT 1 FROM sessions WHERE user_id = OLD.user_id);
    UPDATE session_users
    SET expires_at = (SELECT max(expires_at) FROM sessions WHERE user_id = OLD.user_id)
    WHERE user_id = OLD.user_id;
END;

CREATE TRIGGER session_user_added AFTER INSERT ON session_users BEGIN
    UPDATE session_tallies SET users = users + 1 WHERE role = NEW.role;
END;

CREATE TRIGGER session_user_moved AFTER UPDATE OF role ON session_users BEGIN
    UPDATE session_tallies SET users = users - 1 WHERE role = OLD.role;
    UPDATE session_tallies SET users = users + 1 WHERE role = NEW.role;
END;

CREATE TRIGGER session_user_removed AFTER DELETE ON session_users BEGIN
    UPDATE session_tallies SET users = users - 1 WHERE role = OLD.role;
END;
