-- The same of these only.
SELECT
    run.id::text, job, queue, priority, payload, state, enqueued, due, urgency, token, attempt, failures, kernel, started, finished,
    result, error, reason, notes, cancel_reason, stuck, losses, progress, progress_text, expires, unique_key, schedule, tick,
    folded, tags, concurrency_key, rate_key
FROM mainspring.run
WHERE ($1::smallint[] IS NULL OR state = ANY ($1))
-- part run_filter
    AND run.id = ANY ($12::uuid[])
ORDER BY run.id DESC LIMIT $11
