-- So many of the most urgent ones that are held back for each (queue, job, key) wait in their lane again.
WITH most (size) AS (SELECT ?)
UPDATE run NOT INDEXED SET state = 4
WHERE seq IN (
    SELECT held.value FROM (VALUES
        (?, ?, ?)-- each
    ) AS lane CROSS JOIN json_each((
        SELECT json_group_array(seq) FROM (
            SELECT seq FROM run INDEXED BY run_key
            WHERE job = lane.column2 AND concurrency_key = lane.column3 AND concurrency_key IS NOT NULL AND state <= 5
                AND state = 0 AND queue = lane.column1
            ORDER BY urgency, id LIMIT (SELECT size FROM most)
        )
    )) AS held
)
