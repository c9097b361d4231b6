-- Locked by ``schedules_lock``.
SELECT name, looked_until, version FROM mainspring.schedule WHERE name = ANY ($1::text[])
