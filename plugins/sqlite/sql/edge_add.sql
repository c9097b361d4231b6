-- (child, parent, on_failure); a parent that has ended leaves nothing open.
INSERT INTO edge (parent, child, on_failure, is_open)
SELECT run.id, new.column1, new.column3, run.state <= 5
FROM (VALUES
    (?, ?, ?)-- each
) AS new CROSS JOIN run ON run.id = new.column2
WHERE true
ON CONFLICT DO NOTHING
