DELETE FROM attempt WHERE rowid IN (
    SELECT attempt.rowid FROM (VALUES
        (?, ?)-- each
    ) AS told CROSS JOIN attempt ON attempt.run = told.column1 AND attempt.attempt <= told.column2
)
