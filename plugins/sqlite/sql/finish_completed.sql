-- Completed, and nothing but the result differs from what was claimed: nearly every finish.
UPDATE run NOT INDEXED SET state = 6, finished = change.column4, result = change.column5, reason = NULL, notes = NULL, stuck = 0
FROM (VALUES
    (?, ?, ?, ?, ?)-- each
) AS change
WHERE run.seq = change.column1 AND run.id = change.column2 AND run.token = change.column3 AND run.state = 5
