INSERT INTO schedule (name, dynamic, anchor, looked_until, paused)
SELECT * FROM (VALUES
    (?, ?, ?, ?, ?)-- each
) WHERE column1 IS NOT NULL
ON CONFLICT (name) DO UPDATE SET
    dynamic = excluded.dynamic, anchor = excluded.anchor, looked_until = excluded.looked_until
