WITH RECURSIVE lane (name, size, oldest) AS (
    SELECT queue, count(*), min(due) FROM run INDEXED BY run_lane WHERE state = 4 GROUP BY queue
),
count_of (name, scheduled, retrying, blocked, running) AS (
    SELECT queue, sum(state = 1), sum(state = 2), sum(state = 3), 0
    FROM run INDEXED BY run_later WHERE state <= 3 GROUP BY queue
    UNION ALL
    SELECT queue, 0, 0, 0, count(*) FROM run INDEXED BY run_running WHERE state = 5 GROUP BY queue
    UNION ALL
    SELECT name, 0, 0, 0, 0 FROM queue WHERE paused_until IS NOT NULL
    UNION ALL
    SELECT name, 0, 0, 0, 0 FROM lane
)
SELECT
    count_of.name, coalesce(max(lane.size), 0), sum(scheduled), sum(retrying), sum(blocked), sum(running),
    max(lane.oldest), max(queue.paused_until)
FROM count_of
LEFT JOIN lane ON lane.name = count_of.name
LEFT JOIN queue ON queue.name = count_of.name
GROUP BY count_of.name
ORDER BY count_of.name
