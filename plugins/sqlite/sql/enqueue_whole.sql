INSERT INTO run (
    id, job, queue, priority, state, enqueued, due, urgency, payload, expires, unique_key, schedule, tick, folded, tags,
    concurrency_key, rate_key
)
SELECT * FROM (VALUES
    (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)-- each
) WHERE column1 IS NOT NULL AND (
    column11 IS NULL
    OR NOT EXISTS (SELECT 1 FROM period WHERE period.job = column2 AND period.key = column11 AND period.until > column6)
)
ON CONFLICT DO NOTHING
