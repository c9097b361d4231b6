INSERT OR REPLACE INTO rate_wait (job, key, until)
SELECT * FROM (VALUES
    (?, ?, ?)-- each
) WHERE column1 IS NOT NULL
