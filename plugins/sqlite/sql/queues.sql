WITH RECURSIVE lane (name, size, oldest) AS (
    SELECT queue, count(*), min(due) FROM run INDEXED BY run_lane WHERE state = 4 GROUP BY queue
),
count_of (name, held_back, oldest, scheduled, retrying, blocked, running) AS (
    SELECT queue, sum(state <= 0), min(iif(state <= 0, due, NULL)), sum(state = 1), sum(state = 2), sum(state = 3), 0
    FROM run INDEXED BY run_later WHERE state <= 3 GROUP BY queue
    UNION ALL
    SELECT queue, 0, NULL, 0, 0, 0, count(*) FROM run INDEXED BY run_running WHERE state = 5 GROUP BY queue
    UNION ALL
    SELECT name, 0, NULL, 0, 0, 0, 0 FROM queue WHERE paused_until IS NOT NULL
    UNION ALL
    SELECT name, 0, NULL, 0, 0, 0, 0 FROM lane
)
SELECT
    count_of.name, coalesce(max(lane.size), 0) + sum(held_back), sum(scheduled), sum(retrying), sum(blocked), sum(running),
    nullif(min(coalesce(lane.oldest, 9e999), coalesce(min(count_of.oldest), 9e999)), 9e999), max(queue.paused_until)
FROM count_of
LEFT JOIN lane ON lane.name = count_of.name
LEFT JOIN queue ON queue.name = count_of.name
GROUP BY count_of.name
ORDER BY count_of.name
