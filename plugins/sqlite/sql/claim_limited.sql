-- As claim_lanes.sql, with what limits need: for each lane [[urgency, id, seq, concurrency_key, rate_key], …].
SELECT json_group_array((
    SELECT json_group_array(json_array(iif(
        CAST(urgency * 4194304 AS INTEGER) / 4194304.0 = urgency,
        CAST(urgency * 4194304 AS INTEGER),
        quote(urgency)
    ), id, seq, concurrency_key, rate_key))
    FROM (
        SELECT urgency, id, seq, concurrency_key, rate_key FROM run INDEXED BY run_lane
        WHERE state = 4 AND queue = lane.column1 AND job = lane.column2 AND urgency < ?
        ORDER BY urgency, id LIMIT ?
    )
))
FROM (VALUES
    (?, ?)-- each
) AS lane
WHERE lane.column1 IS NOT NULL
