SELECT array_agg(id::text) FROM (
    SELECT id FROM mainspring.run
    WHERE id = ANY (ARRAY(SELECT child FROM mainspring.edge WHERE parent = ANY ($1::uuid[]) AND is_open))
    ORDER BY id FOR NO KEY UPDATE
) AS child
