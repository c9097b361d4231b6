INSERT INTO mainspring.schedule (name, dynamic, anchor, looked_until, paused)
SELECT * FROM unnest($1::text[], $2::boolean[], $3::float8[], $4::float8[], $5::boolean[])
ON CONFLICT (name) DO UPDATE SET
    dynamic = excluded.dynamic, anchor = excluded.anchor, looked_until = excluded.looked_until
