-- Whether a run waits, over however many others, for that one.
WITH RECURSIVE waited_for (run) AS (
    SELECT ?
    UNION
    SELECT edge.parent
    FROM waited_for CROSS JOIN edge INDEXED BY edge_open ON edge.is_open = 1 AND edge.child = waited_for.run
)
SELECT EXISTS (SELECT 1 FROM waited_for WHERE run = ?)
