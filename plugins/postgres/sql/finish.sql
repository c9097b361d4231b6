UPDATE mainspring.run SET
    state = given.state, due = given.due, urgency = given.urgency, attempt = given.attempt, failures = given.failures,
    finished = given.finished, result = given.result, error = coalesce(given.error, run.error), reason = given.reason,
    notes = given.notes, stuck = false, losses = coalesce(given.losses, run.losses)
FROM unnest(
    $1::uuid[], $2::int[], $3::smallint[], $4::float8[], $5::float8[], $6::int[], $7::int[], $8::float8[], $9::text[],
    $10::text[], $11::text[], $12::text[], $13::smallint[]
) WITH ORDINALITY AS given (
    id, token, state, due, urgency, attempt, failures, finished, result, error, reason, notes, losses, number
)
WHERE run.id = given.id AND run.token = given.token AND run.state + 0 = 5
RETURNING
    given.number::int, CASE WHEN run.has_children THEN run.id::text END, run.job, run.queue, run.concurrency_key
