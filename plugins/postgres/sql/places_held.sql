-- What runs of these limited jobs and queues: (kernel, queue, job, how many). Only their part of the index is counted.
WITH RECURSIVE held (kernel, queue, job) AS (
    (
        SELECT kernel, queue, job FROM mainspring.run WHERE state = 5 ORDER BY kernel, queue, job LIMIT 1
    )
    UNION ALL
    SELECT next_held.kernel, next_held.queue, next_held.job FROM held CROSS JOIN LATERAL (
        SELECT run.kernel, run.queue, run.job FROM mainspring.run
        WHERE run.state = 5 AND (run.kernel, run.queue, run.job) > (held.kernel, held.queue, held.job)
        ORDER BY run.kernel, run.queue, run.job LIMIT 1
    ) AS next_held
)
SELECT held.kernel, held.queue, held.job, (
    SELECT count(*) FROM mainspring.run
    WHERE run.state = 5 AND run.kernel = held.kernel AND run.queue = held.queue AND run.job = held.job
)
FROM held WHERE held.job = ANY ($1::text[]) OR held.queue = ANY ($2::text[])
