INSERT INTO mainspring.schedule (name, dynamic, anchor, looked_until, paused, version)
SELECT name, dynamic, anchor, looked_until, paused, version
FROM unnest($1::text[], $2::boolean[], $3::float8[], $4::float8[], $5::boolean[], $6::int[])
    AS given (name, dynamic, anchor, looked_until, paused, version)
WHERE version = 1
ON CONFLICT (name) DO NOTHING
RETURNING name
