WITH RECURSIVE parked (job, key) AS (
    (
        SELECT job, rate_key FROM mainspring.run WHERE state = 0 AND rate_key IS NOT NULL ORDER BY job, rate_key LIMIT 1
    )
    UNION ALL
    SELECT next.job, next.rate_key FROM parked CROSS JOIN LATERAL (
        SELECT run.job, run.rate_key FROM mainspring.run
        WHERE run.state = 0 AND run.rate_key IS NOT NULL AND (run.job, run.rate_key) > (parked.job, parked.key)
        ORDER BY run.job, run.rate_key LIMIT 1
    ) AS next
)
SELECT job, key FROM parked
