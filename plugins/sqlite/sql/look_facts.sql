-- For the looks (number, schedule, expected, version) that hold: [[number, [[id, state], …]], …].
SELECT json_group_array(json_array(look.column1, (
    SELECT json_group_array(json_array(id, state)) FROM (
        SELECT id, state FROM run INDEXED BY run_schedule
        WHERE schedule = look.column2 AND schedule IS NOT NULL AND state <= 5
        ORDER BY id
    )
)))
FROM (VALUES
    (?, ?, ?, ?)-- each
) AS look CROSS JOIN schedule
    ON schedule.name = look.column2 AND schedule.looked_until = look.column3 AND schedule.version = look.column4
