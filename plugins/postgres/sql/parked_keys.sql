-- Every (job, key) for which runs are parked.
WITH RECURSIVE parked (job, key) AS (
    (
        SELECT job, concurrency_key FROM mainspring.run WHERE state = 0 AND concurrency_key IS NOT NULL
        ORDER BY job, concurrency_key LIMIT 1
    )
    UNION ALL
    SELECT next.job, next.concurrency_key FROM parked CROSS JOIN LATERAL (
        SELECT run.job, run.concurrency_key FROM mainspring.run
        WHERE run.state = 0 AND run.concurrency_key IS NOT NULL AND (run.job, run.concurrency_key) > (parked.job, parked.key)
        ORDER BY run.job, run.concurrency_key LIMIT 1
    ) AS next
)
SELECT job, key FROM parked
