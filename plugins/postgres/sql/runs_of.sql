-- Whole runs by their ids, in order.
SELECT
    run.id::text, job, queue, priority, payload, state, enqueued, due, urgency, token, attempt, failures, kernel, started, finished,
    result, error, reason, notes, cancel_reason, stuck, losses, progress, progress_text, expires, unique_key, schedule, tick,
    folded, tags, concurrency_key, rate_key
FROM mainspring.run WHERE id = ANY ($1::uuid[]) ORDER BY run.id
