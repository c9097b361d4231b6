-- Runs that entered as blocked and need not wait.
UPDATE mainspring.run SET state = given.state, reason = given.reason, finished = given.finished
FROM unnest($1::uuid[], $2::smallint[], $3::text[], $4::float8[]) AS given (id, state, reason, finished)
WHERE run.id = given.id
