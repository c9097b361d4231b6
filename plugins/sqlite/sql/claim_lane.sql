-- The most urgent of one lane, whole, in one row: [[seq, id, …], …], as rows.py reads them.
SELECT json_group_array(json_array(
    seq, id, priority, payload,
    iif(
        CAST(enqueued * 4194304 AS INTEGER) / 4194304.0 = enqueued, CAST(enqueued * 4194304 AS INTEGER), quote(enqueued)
    ),
    iif(
        CAST(due * 4194304 AS INTEGER) / 4194304.0 = due, CAST(due * 4194304 AS INTEGER), quote(due)
    ),
    iif(
        CAST(urgency * 4194304 AS INTEGER) / 4194304.0 = urgency, CAST(urgency * 4194304 AS INTEGER), quote(urgency)
    ),
    token + 1, attempt + 1, failures,
    iif(
        coalesce(expires, unique_key, schedule, tick, folded, tags, concurrency_key, rate_key, nullif(losses, 0)) IS NULL, NULL,
        json_array(quote(expires), unique_key, schedule, quote(tick), folded, tags, concurrency_key, rate_key, losses)
    )
))
FROM (
    SELECT * FROM run INDEXED BY run_lane
    WHERE state = 4 AND queue = ? AND job = ? AND urgency < ? ORDER BY urgency, id LIMIT ?
)
