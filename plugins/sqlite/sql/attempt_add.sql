-- Before the run's row is written, which says when the attempt began, and where.
INSERT OR REPLACE INTO attempt (run, attempt, started, ended, outcome, kernel, reason, error)
SELECT run.id, run.attempt, run.started, told.column4, told.column5, run.kernel, told.column6, told.column7
FROM (VALUES
    (?, ?, ?, ?, ?, ?, ?)-- each
) AS told CROSS JOIN run ON run.seq = told.column1
WHERE run.id = told.column2 AND run.token = told.column3 AND run.state = 5
