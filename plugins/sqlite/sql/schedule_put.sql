INSERT INTO schedule (name, definition, dynamic, anchor, looked_until, paused)
SELECT * FROM (VALUES
    (?, ?, ?, ?, ?, ?)-- each
) WHERE column1 IS NOT NULL
ON CONFLICT (name) DO UPDATE SET
    definition = excluded.definition, dynamic = excluded.dynamic, anchor = excluded.anchor,
    looked_until = excluded.looked_until, paused = excluded.paused
