SELECT json_group_object(queue, size) FROM (
    SELECT queue, count(*) AS size FROM run WHERE seq > ? AND state <= 4 GROUP BY queue
)
