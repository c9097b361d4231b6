-- The most urgent that wait for these (job, key), so many of each.
UPDATE mainspring.run SET state = 4 WHERE id = ANY (ARRAY(
    SELECT parked.id FROM unnest($1::text[], $2::text[], $3::int[]) AS wanted (job, key, most)
    CROSS JOIN LATERAL (
        SELECT run.id FROM mainspring.run
        WHERE run.state = 0 AND run.concurrency_key IS NOT NULL
            AND run.job = wanted.job AND run.concurrency_key = wanted.key
        ORDER BY run.urgency, run.id LIMIT wanted.most
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS parked
))
