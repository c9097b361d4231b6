-- The statement claim for where there is much: a quarter cheaper, in no order, and without any row when nothing was claimed.
UPDATE mainspring.run SET
    state = 5, token = token + 1, attempt = attempt + 1, kernel = $1, started = (SELECT now FROM facts)
WHERE id = ANY ((SELECT ids FROM chosen)::uuid[])
RETURNING
    id::text, job, queue, priority, payload, enqueued, due, urgency, token, attempt, failures, losses, expires, unique_key,
    schedule, tick, folded, tags, concurrency_key, rate_key,
    (SELECT next_due FROM facts) AS next_due, true AS is_ready, (SELECT place <= $3::int FROM cut) AS has_more
