-- A run that is queued may be held back: it is shown as queued, and is in no lane, so that it holds up nobody behind it.
-- <= 0: queued and held back. -2: a suspect. -1: waits until the rate of its key has room. 0: waits for its concurrency key.
DROP VIEW run_readable;
DROP TABLE state;

CREATE TABLE state (
    code INTEGER PRIMARY KEY,
    name TEXT NOT NULL
) STRICT;

INSERT INTO state (code, name) VALUES
    (-2, 'queued'), (-1, 'queued'), (0, 'queued'),
    (1, 'scheduled'), (2, 'retrying'), (3, 'blocked'), (4, 'queued'), (5, 'running'),
    (6, 'completed'), (7, 'failed'), (8, 'cancelled'), (9, 'expired');

-- What can be long stands last, so that the numbers are read without it. Instants are epoch seconds.
CREATE TABLE new_run (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    job TEXT NOT NULL,
    queue TEXT NOT NULL,
    priority INTEGER NOT NULL,
    state INTEGER NOT NULL CHECK (state BETWEEN -2 AND 9),
    enqueued REAL NOT NULL,
    due REAL NOT NULL,
    urgency REAL NOT NULL,
    token INTEGER NOT NULL DEFAULT 0,
    attempt INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    losses INTEGER NOT NULL DEFAULT 0,
    stuck INTEGER NOT NULL DEFAULT 0,
    kernel TEXT,
    started REAL,
    finished REAL,
    expires REAL,
    unique_key TEXT,
    concurrency_key TEXT,
    rate_key TEXT,
    schedule TEXT,
    tick REAL,
    folded INTEGER,
    tags TEXT,
    cancel_reason TEXT,
    reason TEXT,
    notes TEXT,
    result TEXT,
    error TEXT,
    payload TEXT NOT NULL
) STRICT;

INSERT INTO new_run (
    seq, id, job, queue, priority, state, enqueued, due, urgency, token, attempt, failures, stuck, kernel, started,
    finished, expires, unique_key, schedule, tick, folded, tags, cancel_reason, reason, notes, result, error, payload
)
SELECT
    seq, id, job, queue, priority, state, enqueued, due, urgency, token, attempt, failures, stuck, kernel, started,
    finished, expires, unique_key, schedule, tick, folded, tags, cancel_reason, reason, notes, result, error, payload
FROM run ORDER BY seq;

DROP TABLE run;
ALTER TABLE new_run RENAME TO run;

-- The lanes: claims walk from lane to lane and take the most urgent of each. ``due`` is there to be counted without a look at the rows.
CREATE INDEX run_lane ON run (queue, job, urgency, id, due) WHERE state = 4;
CREATE INDEX run_later ON run (state, due, queue, job) WHERE state <= 3;
CREATE INDEX run_expires ON run (expires) WHERE expires IS NOT NULL AND state <= 4;
CREATE INDEX run_running ON run (kernel) WHERE state = 5;
CREATE UNIQUE INDEX run_unique ON run (job, unique_key) WHERE unique_key IS NOT NULL AND state <= 5;
CREATE INDEX run_schedule ON run (schedule, state) WHERE schedule IS NOT NULL AND state <= 5;
CREATE INDEX run_finished ON run (job, finished, state) WHERE state >= 6;
CREATE INDEX run_ended_badly ON run (state, id) WHERE state >= 7;
-- How many of a key run, and which of those that are held back is the most urgent of its lane.
CREATE INDEX run_key ON run (state, job, concurrency_key, queue, urgency, id)
    WHERE concurrency_key IS NOT NULL AND state <= 5;
CREATE INDEX run_rate ON run (state, job, rate_key, queue, urgency, id) WHERE rate_key IS NOT NULL AND state <= 4;

-- Until when a unique key is taken, though its run may have ended.
CREATE TABLE period (
    job TEXT NOT NULL,
    key TEXT NOT NULL,
    run TEXT NOT NULL,
    until REAL NOT NULL,
    PRIMARY KEY (job, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX period_until ON period (until);

-- Dependencies; open until the parent has ended.
CREATE TABLE edge (
    parent TEXT NOT NULL,
    child TEXT NOT NULL,
    on_failure TEXT NOT NULL,
    is_open INTEGER NOT NULL,
    PRIMARY KEY (parent, child)
) STRICT, WITHOUT ROWID;

CREATE INDEX edge_child ON edge (child);
CREATE INDEX edge_open ON edge (child) WHERE is_open = 1;

-- What attempts write down.
CREATE TABLE step (
    run TEXT NOT NULL,
    name TEXT NOT NULL,
    result TEXT NOT NULL,
    PRIMARY KEY (run, name)
) STRICT;

CREATE TABLE progress (
    run TEXT PRIMARY KEY,
    fraction REAL NOT NULL,
    text TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE log_part (
    part INTEGER PRIMARY KEY,
    run TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    is_cut INTEGER NOT NULL,
    text TEXT NOT NULL
) STRICT;

CREATE INDEX log_part_run ON log_part (run, part, bytes);

CREATE TABLE breaker (
    name TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    state TEXT NOT NULL,
    opened REAL,
    until REAL,
    successes INTEGER NOT NULL,
    probe TEXT,
    error TEXT
) STRICT, WITHOUT ROWID;

-- How many runs began, by the end of the slot of time in which they did; ``gone``: when that counts no longer. In microseconds.
CREATE TABLE rate (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    key TEXT NOT NULL,
    ends INTEGER NOT NULL,
    count INTEGER NOT NULL,
    gone INTEGER NOT NULL,
    PRIMARY KEY (kind, name, key, ends)
) STRICT, WITHOUT ROWID;

CREATE INDEX rate_gone ON rate (gone);

-- When the runs that wait for the rate of a key are looked at again.
CREATE TABLE rate_wait (
    job TEXT NOT NULL,
    key TEXT NOT NULL,
    until REAL NOT NULL,
    PRIMARY KEY (job, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX rate_wait_until ON rate_wait (until);

INSERT INTO signal (name) VALUES ('breakers');

-- For a person with the sqlite3 shell.
CREATE VIEW run_readable AS
SELECT
    run.id, run.job, run.queue, run.priority, state.name AS state, run.token, run.attempt, run.failures, run.losses,
    datetime(run.enqueued, 'unixepoch') AS enqueued_at,
    datetime(run.due, 'unixepoch') AS due_at,
    datetime(run.started, 'unixepoch') AS started_at,
    datetime(run.finished, 'unixepoch') AS finished_at,
    run.kernel, run.unique_key, run.concurrency_key, run.rate_key, run.schedule, run.tags,
    progress.fraction AS progress, progress.text AS progress_text,
    run.reason, run.notes, run.result, run.error, run.payload
FROM run JOIN state ON state.code = run.state LEFT JOIN progress ON progress.run = run.id;
