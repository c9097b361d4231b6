-- Attempts that ended otherwise than completed; of one that completed the run's own row tells.
CREATE TABLE attempt (
    run TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    started REAL,
    ended REAL NOT NULL,
    outcome TEXT NOT NULL,
    kernel TEXT,
    reason TEXT,
    error TEXT,
    PRIMARY KEY (run, attempt)
) STRICT;
