INSERT OR REPLACE INTO announced (job, plugin, queue, info, announced)
SELECT * FROM (VALUES
    (?, ?, ?, ?, ?)-- each
) WHERE column1 IS NOT NULL
