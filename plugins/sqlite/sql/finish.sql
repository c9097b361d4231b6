-- A wish to cancel that comes too late for the attempt ends the run instead of its next attempt.
UPDATE run SET
    state = iif(change.column4 <= 4 AND cancel_reason IS NOT NULL, 8, change.column4),
    due = change.column5,
    urgency = change.column6,
    attempt = change.column7,
    failures = change.column8,
    finished = iif(change.column4 <= 4 AND cancel_reason IS NOT NULL, ?1, change.column9),
    result = change.column10,
    error = coalesce(change.column11, error),
    reason = iif(change.column4 <= 4 AND cancel_reason IS NOT NULL, cancel_reason, change.column12),
    notes = change.column13,
    kernel = iif(change.column4 <= 4, NULL, kernel),
    stuck = 0
FROM (VALUES
    (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)-- each
) AS change
WHERE run.seq = change.column1 AND run.id = change.column2 AND run.token = change.column3 AND run.state = 5
