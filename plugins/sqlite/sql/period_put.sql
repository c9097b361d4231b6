-- Of one run a later enqueue makes the period no shorter.
INSERT INTO period (job, key, run, until)
SELECT * FROM (VALUES
    (?, ?, ?, ?)-- each
) WHERE column1 IS NOT NULL
ON CONFLICT (job, key) DO UPDATE SET
    run = excluded.run, until = iif(run = excluded.run, max(until, excluded.until), excluded.until)
