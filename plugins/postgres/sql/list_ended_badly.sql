-- The same of runs that ended without being completed.
SELECT
    run.id::text, job, queue, priority, payload, state, enqueued, due, urgency, token, attempt, failures, kernel, started, finished,
    result, error, reason, notes, cancel_reason, stuck, losses, progress, progress_text, expires, unique_key, schedule, tick,
    folded, tags, concurrency_key, rate_key
FROM mainspring.run
WHERE run.id = ANY (ARRAY(
    SELECT found.id FROM unnest($1::smallint[]) AS wanted (state) CROSS JOIN LATERAL (
        SELECT run.id FROM mainspring.run
        WHERE run.state >= 7 AND run.state = wanted.state
-- part run_filter
        ORDER BY run.id DESC LIMIT $11
    ) AS found
))
ORDER BY run.id DESC LIMIT $11
