SELECT
    run.id, job, queue, priority, payload, state, enqueued, due, urgency, token, attempt, failures, kernel, started,
    finished, result, error, reason, notes, cancel_reason, stuck, expires, unique_key, schedule, tick, folded, tags
FROM json_each(?) AS wanted CROSS JOIN run ON run.seq = wanted.value
