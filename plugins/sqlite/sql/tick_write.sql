-- A tick that made a run keeps saying so.
INSERT INTO tick (schedule, first, last, count, result, reason, run)
SELECT * FROM (VALUES
    (?, ?, ?, ?, ?, ?, ?)-- each
) WHERE column1 IS NOT NULL
ON CONFLICT (schedule, first) DO UPDATE SET
    last = excluded.last, count = excluded.count, result = excluded.result, reason = excluded.reason, run = excluded.run
    WHERE tick.run IS NULL
