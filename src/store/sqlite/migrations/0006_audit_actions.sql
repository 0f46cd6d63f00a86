-- The audit trail also holds administrative actions, and refused attempts share rows. Columns are added, so that a process
-- of the release before still writes its rows.

-- See `audit::Kind`.
ALTER TABLE audit_events ADD COLUMN kind TEXT NOT NULL DEFAULT 'login';
-- See `audit::Actor`.
ALTER TABLE audit_events ADD COLUMN actor TEXT;
-- What is concerned beside `user_id`.
ALTER TABLE audit_events ADD COLUMN target TEXT;
ALTER TABLE audit_events ADD COLUMN detail TEXT;
-- How many attempts the row stands for, and when the last of them ended; NULL stands for `at`.
ALTER TABLE audit_events ADD COLUMN count INTEGER NOT NULL DEFAULT 1;
ALTER TABLE audit_events ADD COLUMN last_at INTEGER;
-- Of a row that counts refused attempts: the minute since the Unix epoch, and what they have in common.
ALTER TABLE audit_events ADD COLUMN minute INTEGER;
ALTER TABLE audit_events ADD COLUMN entity TEXT;

CREATE UNIQUE INDEX audit_events_aggregate ON audit_events (minute, kind, outcome, entity)
    WHERE entity IS NOT NULL;

-- What an operator asks for. Successful logins, the bulk of the rows, are in the first two only.
CREATE INDEX audit_events_by_user ON audit_events (user_id, at) WHERE user_id IS NOT NULL;
CREATE INDEX audit_events_by_address ON audit_events (address, at) WHERE address IS NOT NULL;
CREATE INDEX audit_events_of_actions ON audit_events (at) WHERE kind <> 'login';
CREATE INDEX audit_events_refused ON audit_events (outcome, at) WHERE outcome <> 'success';

-- The last batch of events of each writer, so that a batch whose answer was lost is not counted twice.
CREATE TABLE audit_writers (
    writer TEXT NOT NULL PRIMARY KEY,
    -- The id of the first event of the batch.
    batch TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
