-- Whole runs that this kernel has claimed, locked; those that another rescuer is about to take are passed over.
SELECT
    run.id::text, job, queue, priority, payload, state, enqueued, due, urgency, token, attempt, failures, kernel, started, finished,
    result, error, reason, notes, cancel_reason, stuck, losses, progress, progress_text, expires, unique_key, schedule, tick,
    folded, tags, concurrency_key, rate_key
FROM mainspring.run WHERE state = 5 AND kernel = $1 ORDER BY run.id FOR NO KEY UPDATE SKIP LOCKED
