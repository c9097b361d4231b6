-- Completed, and nothing else is different from what was claimed. For the statement finish, the same in short.
UPDATE mainspring.run SET state = 6, finished = given.finished, result = given.result, reason = NULL, notes = NULL, stuck = false, losses = 0
FROM unnest($1::uuid[], $2::int[], $3::float8[], $4::text[]) WITH ORDINALITY AS given (id, token, finished, result, number)
WHERE run.id = given.id AND run.token = given.token AND run.state + 0 = 5
RETURNING
    given.number::int, CASE WHEN run.has_children THEN run.id::text END, run.job, run.queue, run.concurrency_key
