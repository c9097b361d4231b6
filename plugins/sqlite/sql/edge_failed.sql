-- The blocked children of these parents, which failed, that are to be cancelled for it: [[seq, parent, its state], …] by child.
SELECT json_group_array(json_array(seq, parent, state)) FROM (
    SELECT run.seq AS seq, min(parent.id) AS parent, parent.state AS state
    FROM (VALUES
        (?)-- each
    ) AS ended
    CROSS JOIN run AS parent ON parent.id = ended.column1
    CROSS JOIN edge INDEXED BY sqlite_autoindex_edge_1
        ON edge.parent = parent.id AND edge.is_open = 1 AND edge.on_failure = 'cancel'
    CROSS JOIN run ON run.id = edge.child AND run.state = 3
    GROUP BY run.id
    ORDER BY run.id
)
