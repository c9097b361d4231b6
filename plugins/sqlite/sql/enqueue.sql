INSERT INTO run (id, job, queue, priority, state, enqueued, due, urgency, payload)
SELECT * FROM (VALUES
    (?, ?, ?, ?, ?, ?, ?, ?, ?)-- each
) WHERE column1 IS NOT NULL
ON CONFLICT DO NOTHING
