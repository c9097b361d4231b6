UPDATE mainspring.run SET state = 8, reason = given.reason, finished = $3
FROM unnest($1::uuid[], $2::text[]) AS given (id, reason)
WHERE run.id = given.id AND run.state + 0 = 3
RETURNING run.id::text, job, queue, schedule, has_children
