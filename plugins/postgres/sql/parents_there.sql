-- The states of these runs. They may end as before, but they stay.
SELECT id::text, state FROM mainspring.run WHERE id = ANY ($1::uuid[]) ORDER BY id FOR KEY SHARE
