UPDATE mainspring.run SET state = 9, reason = 'expired', finished = $2
WHERE id = ANY ($1::uuid[]) AND state + 0 <= 4 AND attempt + 0 = 0 AND expires + 0 <= $2
RETURNING
    run.id::text, job, queue, priority, payload, state, enqueued, due, urgency, token, attempt, failures, kernel, started, finished,
    result, error, reason, notes, cancel_reason, stuck, losses, progress, progress_text, expires, unique_key, schedule, tick,
    folded, tags, concurrency_key, rate_key,
    has_children
