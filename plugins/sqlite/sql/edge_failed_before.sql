-- Of these children, which are new, those whose parents had failed already: as edge_failed.sql.
SELECT json_group_array(json_array(seq, parent, state)) FROM (
    SELECT run.seq AS seq, min(parent.id) AS parent, parent.state AS state
    FROM (VALUES
        (?)-- each
    ) AS new
    CROSS JOIN run ON run.id = new.column1 AND run.state = 3
    CROSS JOIN edge INDEXED BY edge_child ON edge.child = run.id AND edge.is_open = 0 AND edge.on_failure = 'cancel'
    CROSS JOIN run AS parent ON parent.id = edge.parent AND parent.state >= 7
    GROUP BY run.id
    ORDER BY run.id
)
