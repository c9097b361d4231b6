INSERT INTO run (
    id, job, queue, priority, state, enqueued, due, urgency, payload, expires, unique_key, schedule, tick, folded, tags
)
SELECT * FROM (VALUES
    (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)-- each
) WHERE column1 IS NOT NULL
ON CONFLICT DO NOTHING
