-- What this kernel has claimed, locked: (id, job, key).
SELECT id::text, job, concurrency_key FROM mainspring.run WHERE state = 5 AND kernel = $1 ORDER BY run.id FOR NO KEY UPDATE
