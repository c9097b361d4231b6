-- Of these children, those that are blocked and depend on nothing unfinished: [[seq, schedule], …].
SELECT json_group_array(json_array(run.seq, run.schedule))
FROM (VALUES
    (?)-- each
) AS wanted CROSS JOIN run ON run.id = wanted.column1 AND run.state = 3
WHERE NOT EXISTS (SELECT 1 FROM edge INDEXED BY edge_open WHERE is_open = 1 AND child = run.id)
