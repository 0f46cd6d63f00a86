-- The lowest role that a session has had under its key. Where its role is higher, it gets a new key. NULL stands for its role.
ALTER TABLE sessions ADD COLUMN key_role INTEGER CHECK (key_role BETWEEN 0 AND 3);
UPDATE sessions SET key_role = role;
