-- A state is a number, in an order that keeps the conditions of the indexes short; its name stands in ``state``.
-- <= 2: waits for its due instant, <= 4: waiting, <= 5: unfinished, >= 6: final, >= 7: final and not completed.
CREATE TABLE state (
    code INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

INSERT INTO state (code, name) VALUES
    (1, 'scheduled'), (2, 'retrying'), (3, 'blocked'), (4, 'queued'), (5, 'running'),
    (6, 'completed'), (7, 'failed'), (8, 'cancelled'), (9, 'expired');

-- What can be long stands last, so that the numbers are read without it. Instants are epoch seconds.
CREATE TABLE run (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    job TEXT NOT NULL,
    queue TEXT NOT NULL,
    priority INTEGER NOT NULL,
    state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 9),
    enqueued REAL NOT NULL,
    due REAL NOT NULL,
    urgency REAL NOT NULL,
    token INTEGER NOT NULL DEFAULT 0,
    attempt INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    stuck INTEGER NOT NULL DEFAULT 0,
    kernel TEXT,
    started REAL,
    finished REAL,
    expires REAL,
    unique_key TEXT,
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

-- The lanes: claims walk from lane to lane and take the most urgent of each. ``due`` is there to be counted without a look at the rows.
CREATE INDEX run_lane ON run (queue, job, urgency, id, due) WHERE state = 4;
CREATE INDEX run_later ON run (state, due, queue) WHERE state <= 3;
CREATE INDEX run_expires ON run (expires) WHERE expires IS NOT NULL AND state <= 4;
CREATE INDEX run_running ON run (kernel) WHERE state = 5;
CREATE UNIQUE INDEX run_unique ON run (job, unique_key) WHERE unique_key IS NOT NULL AND state <= 5;
CREATE INDEX run_schedule ON run (schedule, state) WHERE schedule IS NOT NULL AND state <= 5;
CREATE INDEX run_finished ON run (job, finished, state) WHERE state >= 6;
CREATE INDEX run_ended_badly ON run (state, id) WHERE state >= 7;

CREATE TABLE queue (
    name TEXT PRIMARY KEY,
    paused_until REAL
) STRICT, WITHOUT ROWID;

-- Each look rewrites its schedule's row: small, so that many rows share a page. The definition stands apart.
CREATE TABLE schedule (
    name TEXT PRIMARY KEY,
    dynamic INTEGER NOT NULL,
    anchor REAL NOT NULL,
    looked_until REAL NOT NULL,
    paused INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE schedule_definition (
    name TEXT PRIMARY KEY,
    definition TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tick (
    schedule TEXT NOT NULL,
    first REAL NOT NULL,
    last REAL NOT NULL,
    count INTEGER NOT NULL,
    result TEXT NOT NULL,
    reason TEXT,
    run TEXT,
    PRIMARY KEY (schedule, first)
) STRICT, WITHOUT ROWID;

CREATE INDEX tick_last ON tick (last);

CREATE TABLE kernel (
    id TEXT PRIMARY KEY,
    pid INTEGER NOT NULL,
    host TEXT NOT NULL,
    boot TEXT NOT NULL,
    started REAL NOT NULL,
    seen REAL NOT NULL,
    socket TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE announced (
    job TEXT PRIMARY KEY,
    plugin TEXT NOT NULL,
    queue TEXT NOT NULL,
    info TEXT NOT NULL,
    announced REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE signal (
    name TEXT PRIMARY KEY,
    count INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

INSERT INTO signal (name) VALUES ('schedules'), ('queues'), ('cancels');

CREATE TABLE plugin_value (
    plugin TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (plugin, key)
) STRICT, WITHOUT ROWID;

-- For a person with the sqlite3 shell.
CREATE VIEW run_readable AS
SELECT
    run.id, run.job, run.queue, run.priority, state.name AS state, run.token, run.attempt, run.failures,
    datetime(run.enqueued, 'unixepoch') AS enqueued_at,
    datetime(run.due, 'unixepoch') AS due_at,
    datetime(run.started, 'unixepoch') AS started_at,
    datetime(run.finished, 'unixepoch') AS finished_at,
    run.kernel, run.unique_key, run.schedule, run.tags, run.reason, run.notes, run.result, run.error, run.payload
FROM run JOIN state ON state.code = run.state;
