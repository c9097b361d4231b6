-- These run from now on, in the order of their urgency; they are locked.
WITH claimed AS (
    UPDATE mainspring.run SET
        state = 5, token = token + 1, attempt = attempt + 1, kernel = $1, started = $2
    WHERE id = ANY ($3::uuid[])
    RETURNING
        id, job, queue, priority, payload, enqueued, due, urgency, token, attempt, failures, losses, expires, unique_key,
        schedule, tick, folded, tags, concurrency_key, rate_key
)
SELECT
    id::text, job, queue, priority, payload, enqueued, due, urgency, token, attempt, failures, losses, expires,
    unique_key, schedule, tick, folded, tags, concurrency_key, rate_key
FROM claimed ORDER BY urgency, claimed.id
