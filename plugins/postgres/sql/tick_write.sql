-- A tick that made a run keeps saying so.
INSERT INTO mainspring.tick (schedule, first, last, count, result, reason, run)
SELECT * FROM unnest($1::text[], $2::float8[], $3::float8[], $4::bigint[], $5::text[], $6::text[], $7::text[])
ON CONFLICT (schedule, first) DO UPDATE SET
    last = excluded.last, count = excluded.count, result = excluded.result, reason = excluded.reason, run = excluded.run
    WHERE tick.run IS NULL
