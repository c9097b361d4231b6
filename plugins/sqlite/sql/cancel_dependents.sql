UPDATE run NOT INDEXED SET state = 8, finished = ?, reason = change.column2
FROM (VALUES
    (?, ?)-- each
) AS change
WHERE run.seq = change.column1 AND run.state = 3
