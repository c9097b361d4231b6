-- For each (queue, job, key): [how many of the key run, [urgency, id] of the most urgent one of this lane that is held back for it].
SELECT json_group_array(json_array(
    (
        SELECT count(*) FROM run INDEXED BY run_key
        WHERE job = lane.column2 AND concurrency_key = lane.column3 AND concurrency_key IS NOT NULL
            AND state <= 5 AND state = 5
    ),
    (
        SELECT json_array(quote(urgency), id) FROM run INDEXED BY run_key
        WHERE job = lane.column2 AND concurrency_key = lane.column3 AND concurrency_key IS NOT NULL AND state <= 5
            AND state = 0 AND queue = lane.column1
        ORDER BY urgency, id LIMIT 1
    )
))
FROM (VALUES
    (?, ?, ?)-- each
) AS lane
WHERE lane.column1 IS NOT NULL
