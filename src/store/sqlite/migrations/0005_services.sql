-- Services, their client secrets, what tokens need, and what services have used.

-- One row: what ever happened to the register. The revision rises with all that a reader of services, credentials, keys and
-- revocations has to know.
CREATE TABLE service_register (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL DEFAULT 0,
    registered INTEGER NOT NULL DEFAULT 0,
    deleted INTEGER NOT NULL DEFAULT 0,
    rotated INTEGER NOT NULL DEFAULT 0,
    rotations_refused INTEGER NOT NULL DEFAULT 0
) STRICT;

INSERT INTO service_register (id) VALUES (1);

CREATE TABLE services (
    id TEXT NOT NULL PRIMARY KEY,
    -- A UUID, another one each time that an id is registered.
    registration TEXT NOT NULL,
    description TEXT NOT NULL,
    disabled INTEGER NOT NULL CHECK (disabled IN (0, 1)),
    created_at INTEGER NOT NULL,
    -- With a space between two.
    scopes TEXT NOT NULL,
    -- Microseconds.
    interval_us INTEGER NOT NULL,
    burst INTEGER NOT NULL,
    daily_quota INTEGER,
    last_heartbeat INTEGER,
    last_authentication INTEGER,
    -- A JWK Set; last, because it may be long.
    public_keys TEXT
) STRICT;

CREATE TABLE service_credentials (
    -- Rises, so the greatest of a service is its newest, whatever the clock did.
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    service TEXT NOT NULL REFERENCES services (id) ON DELETE CASCADE,
    -- SHA-256 of a secret of 256 random bits.
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    retired_at INTEGER,
    CHECK (retired_at IS NULL OR expires_at IS NOT NULL)
) STRICT;

CREATE INDEX service_credentials_by_service ON service_credentials (service, seq);

-- A handful of rows.
CREATE TABLE signing_keys (
    -- Rises, so the greatest is the newest.
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    algorithm TEXT NOT NULL,
    -- PKCS #8 (DER).
    private BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    active_from INTEGER NOT NULL,
    expires_at INTEGER
) STRICT;

CREATE TABLE revocations (
    -- Never used twice, or whoever has read up to a removed one would miss the one that took its place.
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    token TEXT NOT NULL UNIQUE,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE INDEX revocations_by_expiry ON revocations (expires_at);

CREATE TABLE used_assertions (
    digest BLOB NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX used_assertions_by_expiry ON used_assertions (expires_at);

-- As `services::QuotaState` has it.
CREATE TABLE quotas (
    -- That of the service.
    registration TEXT NOT NULL PRIMARY KEY,
    -- Microseconds since the Unix epoch.
    arrival_us INTEGER NOT NULL,
    -- Days since the Unix epoch.
    day INTEGER NOT NULL,
    used INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
