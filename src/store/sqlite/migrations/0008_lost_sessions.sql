-- Sessions that were counted as started and are nowhere.
ALTER TABLE session_tallies ADD COLUMN lost INTEGER NOT NULL DEFAULT 0;
