UPDATE run NOT INDEXED SET
    state = iif(change.column4 = 4 AND coalesce(change.column14, losses) >= ?, -2, change.column4),
    due = change.column5,
    urgency = change.column6,
    attempt = change.column7,
    failures = change.column8,
    finished = change.column9,
    result = change.column10,
    error = coalesce(change.column11, error),
    reason = change.column12,
    notes = change.column13,
    losses = coalesce(change.column14, losses),
    stuck = 0
FROM (VALUES
    (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)-- each
) AS change
WHERE run.seq = change.column1 AND run.id = change.column2 AND run.token = change.column3 AND run.state = 5
