-- The children that wait for these parents.
SELECT json_group_array(child) FROM (
    SELECT DISTINCT edge.child FROM (VALUES
        (?)-- each
    ) AS ended CROSS JOIN edge INDEXED BY sqlite_autoindex_edge_1 ON edge.parent = ended.column1 AND edge.is_open = 1
    ORDER BY edge.child
)
