-- (name, looked_until), locked by ``schedules_lock``.
SELECT name, looked_until FROM mainspring.schedule WHERE name = ANY ($1::text[])
