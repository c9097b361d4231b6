UPDATE schedule SET looked_until = look.column2
FROM (VALUES
    (?, ?)-- each
) AS look
WHERE schedule.name = look.column1
