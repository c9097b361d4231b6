DELETE FROM edge INDEXED BY edge_child
WHERE child IN (SELECT run.id FROM json_each(?) AS gone CROSS JOIN run ON run.seq = gone.value)
