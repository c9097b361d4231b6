-- The most urgent of each lane, locked; not more than $4 of each. Of suspects the most urgent of all that there are.
WITH RECURSIVE
lane (queue, job) AS (
    (
        SELECT queue, job FROM mainspring.run WHERE state = 4 AND losses < 2 ORDER BY queue, job LIMIT 1
    )
    UNION ALL
    SELECT next_lane.queue, next_lane.job FROM lane CROSS JOIN LATERAL (
        SELECT run.queue, run.job FROM mainspring.run
        WHERE run.state = 4 AND run.losses < 2 AND (run.queue, run.job) > (lane.queue, lane.job)
        ORDER BY run.queue, run.job LIMIT 1
    ) AS next_lane
),
open_lane AS MATERIALIZED (
    SELECT queue, job, greatest(8, $4::int / count(*) OVER ())::int AS depth FROM lane
    WHERE job = ANY ($1::text[]) AND queue <> ALL ($2::text[])
)
SELECT taken.id::text, taken.urgency, taken.queue, taken.job, taken.concurrency_key, taken.rate_key, false, open_lane.depth
FROM open_lane CROSS JOIN LATERAL (
    SELECT id, urgency, run.queue, run.job, concurrency_key, rate_key FROM mainspring.run
    WHERE run.state = 4 AND run.losses < 2 AND run.queue = open_lane.queue AND run.job = open_lane.job AND run.urgency < $3
    ORDER BY run.urgency, run.id LIMIT open_lane.depth
    FOR NO KEY UPDATE SKIP LOCKED
) AS taken
UNION ALL
SELECT suspect.id::text, suspect.urgency, suspect.queue, suspect.job, suspect.concurrency_key, suspect.rate_key, true, 0
FROM (
    SELECT id, urgency, queue, job, concurrency_key, rate_key FROM mainspring.run
    WHERE state = 4 AND losses >= 2 AND urgency < $3 AND job = ANY ($1::text[]) AND queue <> ALL ($2::text[])
    ORDER BY run.urgency, run.id LIMIT $5::int
    FOR NO KEY UPDATE SKIP LOCKED
) AS suspect
