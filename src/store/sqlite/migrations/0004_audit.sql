-- The audit trail: one row for every login attempt.
CREATE TABLE audit_events (
    -- The order of events of one millisecond.
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    at INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    user_id TEXT,
    address TEXT
) STRICT;

CREATE INDEX audit_events_by_time ON audit_events (at);
