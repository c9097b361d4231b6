-- For each (queue, job, key): [urgency, id] of the most urgent one of this lane that is held back for the rate of its key.
SELECT json_group_array((
    SELECT json_array(quote(urgency), id) FROM run INDEXED BY run_rate
    WHERE job = lane.column2 AND rate_key = lane.column3 AND rate_key IS NOT NULL AND state <= 4
        AND state = -1 AND queue = lane.column1
    ORDER BY urgency, id LIMIT 1
))
FROM (VALUES
    (?, ?, ?)-- each
) AS lane
WHERE lane.column1 IS NOT NULL
