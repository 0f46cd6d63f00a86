-- Which deployment this file belongs to: a random ID, made once with the file, and kept by every copy and backup of it.
-- Servers on different files must not keep sessions under the same keys of one Redis; they compare this ID there.
CREATE TABLE deployment (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    id TEXT NOT NULL CHECK (length(id) = 32)
) STRICT;

INSERT INTO deployment (one, id) VALUES (1, lower(hex(randomblob(16))));

-- Written by the readiness check: only a write shows that the disk is not full.
CREATE TABLE write_probe (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    filler BLOB NOT NULL
) STRICT;
