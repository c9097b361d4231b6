UPDATE schedule SET looked_until = back.column2
FROM (VALUES
    (?, ?)-- each
) AS back
WHERE schedule.name = back.column1
