-- As enqueue, and says how many were inserted into each queue.
WITH inserted AS (
    INSERT INTO mainspring.run (id, job, queue, priority, payload, state, enqueued, due, urgency)
    SELECT * FROM unnest(
        $1::uuid[], $2::text[], $3::text[], $4::smallint[], $5::text[], $6::smallint[], $7::float8[], $8::float8[],
        $9::float8[]
    )
    ON CONFLICT DO NOTHING
    RETURNING queue
)
SELECT queue, count(*) FROM inserted GROUP BY queue
