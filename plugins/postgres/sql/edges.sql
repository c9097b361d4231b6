SELECT child::text, parent::text, is_open, on_failure FROM (
    SELECT * FROM mainspring.edge WHERE child = ANY ($1::uuid[])
    UNION
    SELECT * FROM mainspring.edge WHERE parent = ANY ($1::uuid[])
) AS edge ORDER BY edge.child, edge.parent
