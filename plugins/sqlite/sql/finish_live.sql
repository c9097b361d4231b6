-- Which of the changes (number, id, token) still are of running attempts.
SELECT json_group_array(change.column1)
FROM (VALUES
    (?, ?, ?)-- each
) AS change CROSS JOIN run ON run.id = change.column2
WHERE run.token = change.column3 AND run.state = 5
