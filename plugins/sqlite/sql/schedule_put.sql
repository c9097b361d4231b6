-- (name, dynamic, anchor, looked_until, paused, version); one that is there stays paused as it is.
INSERT INTO schedule (name, dynamic, anchor, looked_until, paused, version)
SELECT column1, column2, column3, column4, column5, column6 FROM (VALUES
    (?, ?, ?, ?, ?, ?)-- each
) WHERE column1 IS NOT NULL
ON CONFLICT (name) DO UPDATE SET
    dynamic = excluded.dynamic, anchor = excluded.anchor, version = excluded.version,
    looked_until = max(looked_until, excluded.looked_until)
