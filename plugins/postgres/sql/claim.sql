-- Claims in one statement, where nothing is to be done but to take the most urgent runs. Begins with claim_lanes.
-- Always one row at least: next_due, is_ready, has_more, and the claimed run if there is one.
-- has_more: not all that there is was looked at, the claim is to be made once more for what is left of the limit.
, claimed AS (
    UPDATE mainspring.run SET
        state = 5, token = token + 1, attempt = attempt + 1, kernel = $1, started = (SELECT now FROM facts)
    WHERE id = ANY ((SELECT ids FROM chosen)::uuid[])
    RETURNING
        id, job, queue, priority, payload, enqueued, due, urgency, token, attempt, failures, losses, expires, unique_key,
        schedule, tick, folded, tags, concurrency_key, rate_key
)
SELECT
    claimed.id::text, job, queue, priority, payload, enqueued, due, urgency, token, attempt, failures, losses, expires,
    unique_key, schedule, tick, folded, tags, concurrency_key, rate_key,
    next_due, is_ready, (SELECT place <= $3::int FROM cut) AS has_more
FROM facts CROSS JOIN ready LEFT JOIN claimed ON true
