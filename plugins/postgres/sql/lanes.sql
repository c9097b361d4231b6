-- The lanes that have queued runs.
WITH RECURSIVE lane (queue, job) AS (
    (
        SELECT queue, job FROM mainspring.run WHERE state = 4 AND losses < 2 ORDER BY queue, job LIMIT 1
    )
    UNION ALL
    SELECT next_lane.queue, next_lane.job FROM lane CROSS JOIN LATERAL (
        SELECT run.queue, run.job FROM mainspring.run
        WHERE run.state = 4 AND run.losses < 2 AND (run.queue, run.job) > (lane.queue, lane.job)
        ORDER BY run.queue, run.job LIMIT 1
    ) AS next_lane
)
SELECT queue, job FROM lane
