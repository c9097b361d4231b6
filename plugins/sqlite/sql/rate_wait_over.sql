DELETE FROM rate_wait WHERE (job, key) IN (
    SELECT rate_wait.job, rate_wait.key
    FROM (VALUES
        (?, ?)-- each
    ) AS over CROSS JOIN rate_wait ON rate_wait.job = over.column1 AND rate_wait.key = over.column2
)
