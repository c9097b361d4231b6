-- Those that are there are left alone, and so are those whose unique key an unfinished run has. What was inserted.
INSERT INTO mainspring.run (
    id, job, queue, priority, payload, state, enqueued, due, urgency, expires, unique_key, tags, schedule, tick, folded,
    concurrency_key, rate_key
)
SELECT
    id, job, queue, priority, payload, state, enqueued, due, urgency, expires, unique_key, tags::text[], schedule, tick, folded,
    concurrency_key, rate_key
FROM unnest(
    $1::uuid[], $2::text[], $3::text[], $4::smallint[], $5::text[], $6::smallint[], $7::float8[], $8::float8[], $9::float8[],
    $10::float8[], $11::text[], $12::text[], $13::text[], $14::float8[], $15::int[], $16::text[], $17::text[]
) AS given (
    id, job, queue, priority, payload, state, enqueued, due, urgency, expires, unique_key, tags, schedule, tick, folded,
    concurrency_key, rate_key
)
ON CONFLICT DO NOTHING
RETURNING id::text, queue
