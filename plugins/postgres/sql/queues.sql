-- Each part along its own index: a long history is not looked at.
WITH part (name, queued, scheduled, retrying, blocked, running, oldest) AS (
    SELECT queue, count(*), 0, 0, 0, 0, min(due) FROM mainspring.run WHERE state = 4 AND losses < 2 GROUP BY queue
    UNION ALL
    SELECT queue, count(*), 0, 0, 0, 0, min(due) FROM mainspring.run WHERE state = 4 AND losses >= 2 GROUP BY queue
    UNION ALL
    SELECT queue, count(*), 0, 0, 0, 0, min(due) FROM mainspring.run
    WHERE state = 0 AND concurrency_key IS NOT NULL GROUP BY queue
    UNION ALL
    SELECT queue, count(*), 0, 0, 0, 0, min(due) FROM mainspring.run
    WHERE state = 0 AND rate_key IS NOT NULL AND concurrency_key IS NULL GROUP BY queue
    UNION ALL
    SELECT
        queue, 0, count(*) FILTER (WHERE state = 1), count(*) FILTER (WHERE state = 2), count(*) FILTER (WHERE state = 3), 0,
        NULL
    FROM mainspring.run WHERE state >= 1 AND state <= 3 GROUP BY queue
    UNION ALL
    SELECT queue, 0, 0, 0, 0, count(*), NULL FROM mainspring.run WHERE state = 5 GROUP BY queue
    UNION ALL
    SELECT name, 0, 0, 0, 0, 0, NULL FROM mainspring.queue WHERE paused_until IS NOT NULL
)
SELECT
    part.name, sum(queued)::bigint, sum(scheduled)::bigint, sum(retrying)::bigint, sum(blocked)::bigint,
    sum(running)::bigint, min(oldest), (SELECT paused_until FROM mainspring.queue WHERE queue.name = part.name)
FROM part GROUP BY part.name ORDER BY part.name
