-- The next due instant, the next expiry, the lanes (queue, job) that have queued runs, found by leaps, and whether runs are held back.
WITH RECURSIVE head (seq, queue, job) AS (
    SELECT * FROM (
        SELECT seq, queue, job FROM run INDEXED BY run_lane WHERE state = 4 ORDER BY queue, job LIMIT 1
    )
    UNION ALL
    SELECT run.seq, run.queue, run.job
    FROM head CROSS JOIN run ON run.seq = coalesce(
        (
            SELECT seq FROM run INDEXED BY run_lane
            WHERE state = 4 AND queue = head.queue AND job > head.job ORDER BY job LIMIT 1
        ),
        (SELECT seq FROM run INDEXED BY run_lane WHERE state = 4 AND queue > head.queue ORDER BY queue, job LIMIT 1)
    )
)
SELECT
    (SELECT min(due) FROM run INDEXED BY run_later WHERE state <= 3 AND state = 1),
    (SELECT min(due) FROM run INDEXED BY run_later WHERE state <= 3 AND state = 2),
    (
        SELECT min(expires) FROM run INDEXED BY run_expires
        WHERE expires IS NOT NULL AND state <= 4 AND attempt = 0
    ),
    (SELECT json_group_array(json_array(queue, job)) FROM head),
    (SELECT min(state) FROM run INDEXED BY run_later WHERE state <= 3 AND state <= 0)
