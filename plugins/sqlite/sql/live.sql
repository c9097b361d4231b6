-- Which of these (number, id, token) are of running attempts.
SELECT json_group_array(wanted.column1)
FROM (VALUES
    (?, ?, ?)-- each
) AS wanted CROSS JOIN run ON run.id = wanted.column2
WHERE run.token = wanted.column3 AND run.state = 5
