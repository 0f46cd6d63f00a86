-- Accounts. In every table of this file: ids of accounts are UUIDs as text, roles are 0 (user) to 3 (superuser),
-- times are milliseconds since the Unix epoch.
CREATE TABLE accounts (
    id TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 36),
    username TEXT NOT NULL UNIQUE,
    role INTEGER NOT NULL CHECK (role BETWEEN 0 AND 3),
    disabled INTEGER NOT NULL CHECK (disabled IN (0, 1)),
    password_hash TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    unsettled INTEGER NOT NULL CHECK (unsettled IN (0, 1))
) STRICT, WITHOUT ROWID;

CREATE INDEX accounts_unsettled ON accounts (id) WHERE unsettled = 1;

-- Superusers who can log in: there must always be one left.
CREATE INDEX accounts_in_charge ON accounts (id) WHERE role = 3 AND disabled = 0;
