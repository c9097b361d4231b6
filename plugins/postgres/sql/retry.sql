UPDATE mainspring.run SET
    state = 4, due = $2, urgency = $2 + priority * $3::float8, failures = 0, losses = 0, finished = NULL, reason = NULL,
    cancel_reason = NULL, expires = NULL
WHERE id = ANY ($1::uuid[])
