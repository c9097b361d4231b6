-- Which of these runs still wait, locked.
SELECT id::text FROM mainspring.run WHERE id = ANY ($1::uuid[]) AND state + 0 <= 4 ORDER BY id FOR NO KEY UPDATE
