-- [[number, seq, state], …] of the ids that are there.
SELECT json_group_array(json_array(wanted.column1, run.seq, run.state))
FROM (VALUES
    (?, ?)-- each
) AS wanted CROSS JOIN run ON run.id = wanted.column2
