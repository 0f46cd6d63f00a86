-- What a microsecond cannot say: 300/s is 3333 us and 333 ns. Rates that were stored before have whole microseconds.
ALTER TABLE services ADD COLUMN interval_rest_ns INTEGER NOT NULL DEFAULT 0;
