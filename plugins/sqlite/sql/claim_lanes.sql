-- The most urgent of several lanes: for each lane [[urgency, id, seq], …], as rows.py reads numbers.
SELECT json_group_array((
    SELECT json_group_array(json_array(iif(
        CAST(urgency * 4194304 AS INTEGER) / 4194304.0 = urgency,
        CAST(urgency * 4194304 AS INTEGER),
        quote(urgency)
    ), id, seq))
    FROM (
        SELECT urgency, id, seq FROM run INDEXED BY run_lane
        WHERE state = 4 AND queue = lane.column1 AND job = lane.column2 AND urgency < ?
        ORDER BY urgency, id LIMIT ?
    )
))
FROM (VALUES
    (?, ?)-- each
) AS lane
WHERE lane.column1 IS NOT NULL
