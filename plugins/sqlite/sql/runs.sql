SELECT
    run.id, job, queue, priority, payload, state, enqueued, due, urgency, token, attempt, failures, losses, kernel, started,
    finished, result, error, reason, notes, cancel_reason, stuck, progress.fraction,
    progress.text, expires, unique_key, schedule, tick, folded, tags, concurrency_key, rate_key
FROM json_each(?) AS wanted CROSS JOIN run ON run.seq = wanted.value LEFT JOIN progress ON progress.run = run.id
