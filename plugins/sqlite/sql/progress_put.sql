INSERT OR REPLACE INTO progress (run, fraction, text)
SELECT * FROM (VALUES
    (?, ?, ?)-- each
) WHERE column1 IS NOT NULL
