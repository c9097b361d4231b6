SELECT schedule.name, definition, dynamic, anchor, looked_until, paused, version
FROM schedule CROSS JOIN schedule_definition ON schedule_definition.name = schedule.name
ORDER BY schedule.name
