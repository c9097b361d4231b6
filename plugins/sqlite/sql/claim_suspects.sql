-- [[urgency, id, seq, concurrency_key, rate_key, queue, job], …]; there are never many.
SELECT json_group_array(json_array(iif(
    CAST(urgency * 4194304 AS INTEGER) / 4194304.0 = urgency, CAST(urgency * 4194304 AS INTEGER), quote(urgency)
), id, seq, concurrency_key, rate_key, queue, job))
FROM run INDEXED BY run_later WHERE state <= 3 AND state = -2 AND urgency < ?
