-- From now on somebody depends on these: an end of theirs sees to it. Their states.
WITH wanted AS MATERIALIZED (
    SELECT id FROM mainspring.run WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE
)
UPDATE mainspring.run SET has_children = true
WHERE id = ANY (ARRAY(SELECT id FROM wanted))
RETURNING id::text, state
