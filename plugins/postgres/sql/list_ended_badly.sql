-- The same of runs that ended without being completed.
SELECT
    run.id::text, job, queue, priority, payload, state, enqueued, due, urgency, token, attempt, failures, kernel, started, finished,
    result, error, reason, notes, cancel_reason, stuck, losses, progress, progress_text, expires, unique_key, schedule, tick,
    folded, tags, concurrency_key, rate_key
FROM mainspring.run
WHERE run.id = ANY (ARRAY(
    SELECT found.id FROM unnest($1::smallint[]) AS wanted (state) CROSS JOIN LATERAL (
        SELECT run.id FROM mainspring.run
        WHERE run.state >= 7 AND run.state = wanted.state AND ($6::uuid IS NULL OR run.id < $6)
            AND ($2::text IS NULL OR job = $2) AND ($3::text IS NULL OR queue = $3)
            AND ($4::text IS NULL OR schedule = $4) AND ($5::text IS NULL OR tags @> ARRAY[$5])
        ORDER BY run.id DESC LIMIT $7
    ) AS found
))
ORDER BY run.id DESC LIMIT $7
