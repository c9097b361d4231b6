INSERT INTO mainspring.unique_period (job, key, run, until)
SELECT * FROM unnest($1::text[], $2::text[], $3::uuid[], $4::float8[])
ON CONFLICT (job, key) DO UPDATE SET run = excluded.run, until = excluded.until
