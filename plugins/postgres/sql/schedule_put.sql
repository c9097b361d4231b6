-- Rows that are there, locked by ``schedules_lock``; they stay paused as they are.
UPDATE mainspring.schedule SET
    dynamic = given.dynamic, anchor = given.anchor, version = given.version,
    looked_until = CASE WHEN $6 THEN given.looked_until ELSE greatest(schedule.looked_until, given.looked_until) END
FROM unnest($1::text[], $2::boolean[], $3::float8[], $4::float8[], $5::int[])
    AS given (name, dynamic, anchor, looked_until, version)
WHERE schedule.name = given.name AND schedule.version = given.version - 1
RETURNING schedule.name
