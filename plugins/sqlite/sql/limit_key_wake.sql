-- Of each key (job, key), and of each queue, so many of those that are held back for it wait in their lane again.
WITH RECURSIVE most (size) AS (SELECT ?),
lane (job, key, queue) AS (
    SELECT wanted.column1, wanted.column2, (
        SELECT min(queue) FROM run INDEXED BY run_key
        WHERE job = wanted.column1 AND concurrency_key = wanted.column2 AND concurrency_key IS NOT NULL AND state <= 5 AND state = 0
    )
    FROM (VALUES
        (?, ?)-- each
    ) AS wanted
    WHERE wanted.column1 IS NOT NULL
    UNION ALL
    SELECT job, key, (
        SELECT min(queue) FROM run INDEXED BY run_key
        WHERE job = lane.job AND concurrency_key = lane.key AND concurrency_key IS NOT NULL AND state <= 5 AND state = 0
            AND queue > lane.queue
    )
    FROM lane WHERE lane.queue IS NOT NULL
)
UPDATE run NOT INDEXED SET state = 4
WHERE seq IN (
    SELECT held.value FROM lane CROSS JOIN json_each((
        SELECT json_group_array(seq) FROM (
            SELECT seq FROM run INDEXED BY run_key
            WHERE job = lane.job AND concurrency_key = lane.key AND concurrency_key IS NOT NULL AND state <= 5
                AND state = 0 AND queue = lane.queue
            ORDER BY urgency, id LIMIT (SELECT size FROM most)
        )
    )) AS held
    WHERE lane.queue IS NOT NULL
)
