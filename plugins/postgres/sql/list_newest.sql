-- Whole runs, newest first, by any filter: along all runs.
SELECT
    run.id::text, job, queue, priority, payload, state, enqueued, due, urgency, token, attempt, failures, kernel, started, finished,
    result, error, reason, notes, cancel_reason, stuck, losses, progress, progress_text, expires, unique_key, schedule, tick,
    folded, tags, concurrency_key, rate_key
FROM mainspring.run
WHERE ($1::smallint[] IS NULL OR state = ANY ($1)) AND ($2::text IS NULL OR job = $2) AND ($3::text IS NULL OR queue = $3)
    AND ($4::text IS NULL OR schedule = $4) AND ($5::text IS NULL OR tags @> ARRAY[$5])
    AND ($6::uuid IS NULL OR run.id < $6)
ORDER BY run.id DESC LIMIT $7
