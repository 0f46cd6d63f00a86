-- Attempts whose outcome is not known yet: they take a place in a budget and are no failures. They are counted by the window of
-- 15 s that they began in, the last one and the one before it.
ALTER TABLE limits ADD COLUMN hold_window INTEGER NOT NULL DEFAULT 0;
ALTER TABLE limits ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
ALTER TABLE limits ADD COLUMN held_before INTEGER NOT NULL DEFAULT 0;
