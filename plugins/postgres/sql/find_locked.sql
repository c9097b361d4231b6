SELECT id::text, job, queue, state, schedule, unique_key, has_children FROM mainspring.run
WHERE id = ANY ($1::uuid[]) ORDER BY run.id FOR NO KEY UPDATE
