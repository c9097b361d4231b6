-- Serializes those who decide about one key, of a bounded number of locks.
SELECT pg_advisory_xact_lock(hashtext($1), number) FROM (
    SELECT DISTINCT hashtext(job || ' ' || key) & 255 AS number FROM unnest($2::text[], $3::text[]) AS wanted (job, key)
    ORDER BY number
) AS locks
