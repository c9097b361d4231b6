-- Every name is written with the schema mainspring; a store in another schema has that one put in its place.
-- Instants are epoch seconds. A state is a number, in an order that keeps the conditions of the indexes short.
-- 0: queued and held back by a limit ("parked"). 1, 2: waits for its due instant. <= 4: waiting. <= 5: unfinished.
-- >= 6: final. >= 7: final and not completed.
CREATE TABLE mainspring.state (
    code smallint PRIMARY KEY,
    name text NOT NULL
);

INSERT INTO mainspring.state (code, name) VALUES
    (0, 'queued'), (1, 'scheduled'), (2, 'retrying'), (3, 'blocked'), (4, 'queued'), (5, 'running'),
    (6, 'completed'), (7, 'failed'), (8, 'cancelled'), (9, 'expired');

-- The one clock that decides: leases, and the limit of what a kernel's own clock may say.
CREATE FUNCTION mainspring.clock() RETURNS double precision LANGUAGE sql VOLATILE PARALLEL SAFE
AS 'SELECT extract(epoch FROM clock_timestamp())::double precision';

CREATE TABLE mainspring.run (
    id uuid NOT NULL,
    enqueued double precision NOT NULL,
    due double precision NOT NULL,
    urgency double precision NOT NULL,
    started double precision,
    finished double precision,
    expires double precision,
    tick double precision,
    progress double precision,
    token integer NOT NULL DEFAULT 0,
    attempt integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    folded integer,
    state smallint NOT NULL CHECK (state BETWEEN 0 AND 9),
    priority smallint NOT NULL,
    losses smallint NOT NULL DEFAULT 0,
    stuck boolean NOT NULL DEFAULT false,
    -- Some run depends on this one, or did.
    has_children boolean NOT NULL DEFAULT false,
    job text COLLATE "C" NOT NULL,
    queue text COLLATE "C" NOT NULL,
    kernel text COLLATE "C",
    unique_key text COLLATE "C",
    schedule text COLLATE "C",
    concurrency_key text COLLATE "C",
    rate_key text COLLATE "C",
    tags text[] COLLATE "C",
    cancel_reason text,
    reason text,
    progress_text text,
    notes text,
    result text,
    error text,
    payload text NOT NULL,
    CONSTRAINT run_pkey PRIMARY KEY (id)
) WITH (
    fillfactor = 90,
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_insert_scale_factor = 0.1,
    autovacuum_analyze_scale_factor = 0.05, autovacuum_analyze_threshold = 2000,
    autovacuum_vacuum_cost_delay = 0
);

-- The lanes: claims walk from lane to lane and take the most urgent of each. Suspects stand apart.
CREATE INDEX run_lane ON mainspring.run (queue, job, urgency, id) WHERE state = 4 AND losses < 2;
CREATE INDEX run_suspect ON mainspring.run (urgency, id) WHERE state = 4 AND losses >= 2;
CREATE INDEX run_parked ON mainspring.run (job, concurrency_key, urgency, id) WHERE state = 0 AND concurrency_key IS NOT NULL;
CREATE INDEX run_parked_by_rate ON mainspring.run (job, rate_key, urgency, id) WHERE state = 0 AND rate_key IS NOT NULL;
CREATE INDEX run_later ON mainspring.run (state, due) WHERE state >= 1 AND state <= 3;
CREATE INDEX run_expires ON mainspring.run (expires) WHERE expires IS NOT NULL AND attempt = 0 AND state <= 4;
CREATE INDEX run_running ON mainspring.run (kernel, queue, job) WHERE state = 5;
CREATE INDEX run_running_key ON mainspring.run (job, concurrency_key) WHERE state = 5 AND concurrency_key IS NOT NULL;
CREATE UNIQUE INDEX run_unique ON mainspring.run (job, unique_key) WHERE unique_key IS NOT NULL AND state <= 5;
CREATE INDEX run_schedule ON mainspring.run (schedule, state) WHERE schedule IS NOT NULL AND state <= 5;
CREATE INDEX run_finished ON mainspring.run (job, finished) WHERE state >= 6;
CREATE INDEX run_ended_badly ON mainspring.run (state, id) WHERE state >= 7;

-- Who holds a unique key beyond the end of its run; while a run is unfinished, the index run_unique says it.
CREATE TABLE mainspring.unique_period (
    job text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    run uuid NOT NULL,
    until double precision NOT NULL,
    PRIMARY KEY (job, key)
) WITH (fillfactor = 80);

CREATE INDEX unique_period_run ON mainspring.unique_period (run);
CREATE INDEX unique_period_until ON mainspring.unique_period (until);

-- ``child`` depends on ``parent``; open until that has ended.
CREATE TABLE mainspring.edge (
    child uuid NOT NULL,
    parent uuid NOT NULL,
    is_open boolean NOT NULL,
    on_failure text NOT NULL,
    PRIMARY KEY (child, parent)
);

CREATE INDEX edge_parent ON mainspring.edge (parent, child);
CREATE INDEX edge_open ON mainspring.edge (child) WHERE is_open;

-- How many began when, for rate limits: slots that end at ``ends``, each with its count.
CREATE TABLE mainspring.rate (
    kind text NOT NULL,
    name text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    ends double precision[] NOT NULL DEFAULT '{}',
    counts integer[] NOT NULL DEFAULT '{}',
    -- From when on parked runs of this key may go on; NULL when none is parked.
    opens double precision,
    PRIMARY KEY (kind, name, key)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_threshold = 100);

CREATE INDEX rate_opens ON mainspring.rate (opens) WHERE opens IS NOT NULL;

-- Kernels that found a limit over all kernels used up by others, and want their share of its places.
CREATE TABLE mainspring.place_wanted (
    kind text NOT NULL,
    name text COLLATE "C" NOT NULL,
    kernel text COLLATE "C" NOT NULL,
    until double precision NOT NULL,
    PRIMARY KEY (kind, name, kernel)
) WITH (fillfactor = 50);

CREATE TABLE mainspring.step (
    run uuid NOT NULL,
    name text COLLATE "C" NOT NULL,
    result text NOT NULL,
    PRIMARY KEY (run, name)
);

CREATE TABLE mainspring.run_log (
    run uuid PRIMARY KEY,
    is_cut boolean NOT NULL,
    text text NOT NULL
);

CREATE TABLE mainspring.queue (
    name text COLLATE "C" PRIMARY KEY,
    paused_until double precision
);

CREATE TABLE mainspring.breaker (
    name text COLLATE "C" PRIMARY KEY,
    version integer NOT NULL,
    state text NOT NULL,
    opened double precision,
    until double precision,
    successes integer NOT NULL,
    probe text,
    error text
) WITH (fillfactor = 50);

-- Each look rewrites its schedule's row: small, and no index over what changes. The definition stands apart.
CREATE TABLE mainspring.schedule (
    name text COLLATE "C" PRIMARY KEY,
    anchor double precision NOT NULL,
    looked_until double precision NOT NULL,
    -- Grows with what is put; whoever changes a schedule says which one it has seen.
    version integer NOT NULL,
    dynamic boolean NOT NULL,
    paused boolean
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_threshold = 200);

CREATE TABLE mainspring.schedule_definition (
    name text COLLATE "C" PRIMARY KEY,
    definition text NOT NULL
);

CREATE TABLE mainspring.tick (
    schedule text COLLATE "C" NOT NULL,
    first double precision NOT NULL,
    last double precision NOT NULL,
    count bigint NOT NULL,
    result text NOT NULL,
    reason text,
    run text,
    PRIMARY KEY (schedule, first)
);

CREATE INDEX tick_last ON mainspring.tick (last);

-- ``seen`` is what the kernel says of itself; by ``lease_until`` the others know whether it lives.
CREATE TABLE mainspring.kernel (
    id text COLLATE "C" PRIMARY KEY,
    pid integer NOT NULL,
    host text NOT NULL,
    boot text NOT NULL,
    started double precision NOT NULL,
    seen double precision NOT NULL,
    socket text NOT NULL,
    lease_until double precision NOT NULL
) WITH (fillfactor = 50);

-- Runs that were charged with a loss when their kernel was taken for dead; should it come back, it takes that back.
CREATE TABLE mainspring.charge (
    kernel text COLLATE "C" NOT NULL,
    run uuid NOT NULL,
    token integer NOT NULL,
    charged double precision NOT NULL,
    PRIMARY KEY (kernel, run)
);

-- ``announced``: since when the kernel says this of the job.
CREATE TABLE mainspring.announced (
    kernel text COLLATE "C" NOT NULL,
    job text COLLATE "C" NOT NULL,
    plugin text NOT NULL,
    queue text NOT NULL,
    info text NOT NULL,
    announced double precision NOT NULL,
    PRIMARY KEY (kernel, job)
);

CREATE TABLE mainspring.signal (
    name text PRIMARY KEY,
    count bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

INSERT INTO mainspring.signal (name) VALUES ('schedules'), ('queues'), ('cancels'), ('breakers');

CREATE TABLE mainspring.plugin_value (
    plugin text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (plugin, key)
);

-- For a person with psql.
CREATE VIEW mainspring.run_readable AS
SELECT
    run.id, run.job, run.queue, run.priority, state.name AS state, run.token, run.attempt, run.failures, run.losses,
    to_timestamp(run.enqueued) AS enqueued_at, to_timestamp(run.due) AS due_at, to_timestamp(run.started) AS started_at,
    to_timestamp(run.finished) AS finished_at, run.kernel, run.unique_key, run.schedule, run.tags, run.reason, run.notes,
    run.result, run.error, run.payload
FROM mainspring.run JOIN mainspring.state ON state.code = run.state;
