-- Budgets of guesses, as `guard::LimitState` has them. An entity tells neither name nor address.
CREATE TABLE limits (
    entity TEXT NOT NULL PRIMARY KEY,
    spent INTEGER NOT NULL,
    as_of INTEGER NOT NULL,
    locked_until INTEGER NOT NULL,
    locks INTEGER NOT NULL,
    -- From when on the row says nothing that no row would not say.
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX limits_by_expiry ON limits (expires_at);
