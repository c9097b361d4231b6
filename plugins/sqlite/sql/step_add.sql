INSERT INTO step (run, name, result)
SELECT * FROM (VALUES
    (?, ?, ?)-- each
) WHERE column1 IS NOT NULL
ON CONFLICT DO NOTHING
