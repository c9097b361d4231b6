-- Of these limited jobs and queues those of which runs wait to be claimed: (kind, name), each locked. Suspects count too.
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
waiting (queue, job) AS MATERIALIZED (
    SELECT queue, job FROM lane
    UNION
    SELECT queue, job FROM mainspring.run WHERE state = 4 AND losses >= 2
),
limited (kind, name) AS MATERIALIZED (
    SELECT 'job', job FROM waiting WHERE job = ANY ($1::text[])
    UNION
    SELECT 'queue', queue FROM waiting WHERE queue = ANY ($2::text[])
),
locked AS MATERIALIZED (
    SELECT pg_advisory_xact_lock(hashtext($3), number) FROM (
        SELECT DISTINCT hashtext(kind || ' ' || name) & 255 AS number FROM limited ORDER BY number
    ) AS locks
)
SELECT kind, name FROM limited WHERE (SELECT count(*) FROM locked) > 0
