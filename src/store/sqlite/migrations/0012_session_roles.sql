-- The newest version of an account that has set the role of its sessions, and that role. A version is a time in ms; those of more
-- than an hour ago are forgotten. A login that read an older version cannot bring an old role back.
CREATE TABLE session_roles (
    user_id TEXT NOT NULL PRIMARY KEY,
    role INTEGER NOT NULL CHECK (role BETWEEN 0 AND 3),
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX session_roles_by_version ON session_roles (version);

-- Sessions that were started under an older version of the account than this one have to end.
ALTER TABLE accounts ADD COLUMN sessions_since INTEGER NOT NULL DEFAULT 0;
UPDATE accounts SET sessions_since = version WHERE disabled = 1;

-- The version of the account that a session was started under.
ALTER TABLE sessions ADD COLUMN account_version INTEGER NOT NULL DEFAULT 0;
