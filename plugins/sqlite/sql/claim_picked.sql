-- The runs that were picked from several lanes, in the order given, as claim_lane.sql gives them.
SELECT json_group_array(json_array(
    run.seq, run.id, priority, payload,
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
FROM json_each(?) AS picked CROSS JOIN run ON run.seq = picked.value
